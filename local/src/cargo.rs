//! Runs Cargo from a process that Cargo itself has started, for example a test.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};

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
/// of the binaries. There are two builds, so that the function has only the features that it has when it is deployed.
///
/// # Errors
///
/// A build fails.
pub fn build_release(workspace: &Path, target: &Path) -> io::Result<PathBuf> {
    build(workspace, target, "release", &["reservation-worker-functions"])?;
    build(workspace, target, "release", &["reservation-worker"])
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

/// The folder of the binaries that tests start: the folder that the variable `FUNCTION_BINARIES` names, if it is set;
/// else a folder with the function and the functions of `benches/functions`, built with the profile `process`. This
/// build takes a fraction of the time of a release build.
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
/// Cargo does not write to the terminal: each line that it prints is passed to `progress`.
///
/// # Errors
///
/// The build fails.
pub async fn operators_tool(workspace: &Path, target: &Path, progress: impl Fn(&str)) -> io::Result<PathBuf> {
    if let Some(file) = env::var_os("DEAD_LETTERS") {
        return Ok(workspace.join(file));
    }
    let mut build = command(workspace);
    build.args(["build", "--locked", "--package", "reservation-worker-ops", "--target-dir"]).arg(target);
    build.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut build = tokio::process::Command::from(build).kill_on_drop(true).spawn()?;
    let (mut printed, stderr) = (String::new(), build.stderr.take());
    let mut lines = BufReader::new(stderr.ok_or(io::ErrorKind::BrokenPipe)?).lines();
    while let Some(line) = lines.next_line().await? {
        progress(line.trim());
        printed += &(line + "\n");
    }
    if build.wait().await?.success() {
        Ok(target.join("debug/dead-letters"))
    } else {
        Err(io::Error::other(format!("the build of the operator's tool failed: {printed}")))
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
