//! Tests of the command `load`: its exit status shows whether the invariants hold.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use reservation_worker_local::cargo;

/// Runs `load` with the function of the tests.
fn load(options: &[&str]) -> Output {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    let binaries = BINARIES.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        cargo::test_binaries(&workspace, target).unwrap()
    });
    let mut load = Command::new(env!("CARGO_BIN_EXE_reservation-worker-local"));
    load.args(["load", "60"]).args(options).env("FUNCTION_BINARIES", binaries).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_burst_without_violations_exits_with_0() {
    let output = load(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(printed(&output).contains("preparing 60 events ...\n60 events for 48 reservations\n"));
    assert!(
        printed(&output).contains(" in total\n  The queue, the services and the function share this machine")
    );
    assert!(
        printed(&output)
            .contains("All invariants hold. Every event had its effect, and no seat is sold twice.\n"),
        "{}",
        printed(&output)
    );
}

#[test]
fn an_endpoint_without_a_server_is_named_with_its_option() {
    let output = load(&["--endpoint", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let error = "error: ENDPOINT (--endpoint): nothing listens at http://127.0.0.1:1: Connection refused";
    assert!(printed(&output).contains(error), "{}", printed(&output));
}

/// The fault makes the inventory confirm releases without performing them.
#[test]
fn seats_that_are_not_released_are_reported_and_exit_with_1() {
    let false_success = r#"{"operation":"release-hold","effect":{"reply":{"status":1}}}"#;
    let output = load(&["--fault", false_success]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(
        printed(&output).contains("the status is Expired, the state of its seats is Hold"),
        "{}",
        printed(&output)
    );
}

/// The fault makes the inventory reject the commits of confirmed reservations.
#[test]
fn an_event_in_the_dead_letter_queue_is_reported_and_exits_with_1() {
    let conflict = r#"{"operation":"commit-reservation","effect":{"reply":{"status":4}}}"#;
    let output = load(&["--fault", conflict]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(
        printed(&output).contains("A person must look at them.\n  commit_rejected: ")
            && printed(&output).contains("All invariants hold. Every other event had its effect"),
        "{}",
        printed(&output)
    );
}
