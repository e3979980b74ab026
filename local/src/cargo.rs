//! Runs Cargo from a process that Cargo itself has started, for example a test.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Cargo command in the folder `workspace`, without these environment variables:
///
/// - The variables that `cargo run` and `cargo test` set. Some build scripts read them, so with other values
///   Cargo compiles crates again.
/// - `AWS_*`, so that a function that Cargo starts uses no real AWS account.
pub fn command(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace);
    for (name, _) in env::vars_os() {
        let has_prefix = |prefix| name.to_string_lossy().starts_with(prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR", "AWS_"].into_iter().any(has_prefix) {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds what is deployed, with the profile and the features that are deployed, and the functions that are
/// held beside it. Returns the folder that they are in.
///
/// # Errors
///
/// The build fails.
pub fn build_release(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    release(workspace, target, &["reservation-worker", "reservation-worker-functions"])
}

/// Builds what is deployed and nothing else. Returns the function's binary.
///
/// # Errors
///
/// The build fails.
pub fn build_worker(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    Ok(release(workspace, target, &["reservation-worker"])?.join("reservation-worker"))
}

/// Not the whole workspace: its tests' features would come along.
fn release(workspace: &Path, target: &Path, packages: &[&str]) -> io::Result<PathBuf> {
    let mut build = command(workspace);
    build.args(["build", "--release", "--locked", "--bins", "--target-dir"]).arg(target);
    build.args(packages.iter().flat_map(|package| ["-p", package]));
    if build.status()?.success() {
        Ok(target.join("release"))
    } else {
        Err(io::Error::other("the release build failed"))
    }
}
