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

/// Builds the function and the functions of `benches/functions` with the profile `release`. Returns the folder
/// of the binaries.
///
/// # Errors
///
/// The build fails.
pub fn build_release(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    build(workspace, target, "release", &["reservation-worker", "reservation-worker-functions"])
}

/// The binary of the function: from the folder that the variable `FUNCTION_BINARIES` names, if it is set; else
/// built with this profile.
///
/// # Errors
///
/// The build fails.
pub fn function(workspace: &Path, target: &Path, profile: &str) -> io::Result<PathBuf> {
    let folder = match given_binaries(workspace) {
        Some(folder) => folder,
        None => build(workspace, target, profile, &["reservation-worker"])?,
    };
    Ok(folder.join("reservation-worker"))
}

/// The folder of the binaries that tests start: the folder that the variable `FUNCTION_BINARIES` names, if it is
/// set; else a folder with the binaries of [`build_release`], but built with the profile `process`, which takes a fraction
/// of the time.
///
/// # Errors
///
/// The build fails.
pub fn test_binaries(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    match given_binaries(workspace) {
        Some(folder) => Ok(folder),
        None => build(workspace, target, "process", &["reservation-worker", "reservation-worker-functions"]),
    }
}

/// The operator's tool `dead-letters`: the file that the variable `DEAD_LETTERS` names, if it is set; else built here.
///
/// # Errors
///
/// The build fails.
pub async fn operators_tool(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    if let Some(file) = env::var_os("DEAD_LETTERS") {
        return Ok(workspace.join(file));
    }
    let mut build = command(workspace);
    build.args(["build", "--locked", "--package", "reservation-worker-ops", "--target-dir"]).arg(target);
    // The terminal belongs to the caller.
    let output = tokio::process::Command::from(build).kill_on_drop(true).output().await?;
    if output.status.success() {
        Ok(target.join("debug/dead-letters"))
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("the build of the operator's tool failed: {errors}")))
    }
}

/// The folder that the variable `FUNCTION_BINARIES` names.
fn given_binaries(workspace: &Path) -> Option<PathBuf> {
    env::var_os("FUNCTION_BINARIES").map(|folder| workspace.join(folder))
}

/// Builds these packages and not the whole workspace: with all packages, Cargo would also activate the features
/// of dependencies that only the tests need.
fn build(workspace: &Path, target: &Path, profile: &str, packages: &[&str]) -> io::Result<PathBuf> {
    let mut build = command(workspace);
    build.args(["build", "--profile", profile, "--locked", "--bins", "--target-dir"]).arg(target);
    build.args(packages.iter().flat_map(|package| ["-p", package]));
    if build.status()?.success() {
        Ok(target.join(profile))
    } else {
        Err(io::Error::other(format!("the build with the profile `{profile}` failed")))
    }
}
