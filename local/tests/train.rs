//! Tests of the command `train`: a function is trained only if it processes all events and ends by itself.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reservation_worker_local::cargo;

fn train(options: &[&str], binary: &Path) -> Output {
    let mut train = Command::new(env!("CARGO_BIN_EXE_reservation-worker-local"));
    train.arg("train").args(options).arg(binary).output().unwrap()
}

fn binary(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    cargo::test_binaries(&workspace, target).unwrap().join(name)
}

/// This binary is not instrumented, so the training writes no profile. All else is as with an instrumented binary.
#[test]
fn a_function_is_trained_until_it_has_ended() {
    let binary = binary("reservation-worker");
    let output = train(&["--expired"], &binary);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = format!("train: {} has processed all workloads\n", binary.display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_program_that_is_no_function_is_an_error() {
    let output = train(&["--expired"], Path::new("/bin/false"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{output:?}");
}

/// The minimal function of the benchmark understands only expired holds.
#[test]
fn a_function_that_rejects_a_batch_is_not_trained() {
    let binary = binary("minimal_function");
    let output = train(&[], &binary);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: {}: {{", binary.display());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(&expected), "{output:?}");
}
