//! Cargo, run by what cargo runs.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cargo in `workspace`. What `cargo run` or `cargo test` has set for its own child would make it compile
/// crates again that look at it; and a function that it starts is to use nobody's AWS account.
pub fn command(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace);
    for (name, _) in env::vars_os() {
        let foreign = |prefix| name.to_string_lossy().starts_with(prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR", "AWS_"].into_iter().any(foreign) {
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
