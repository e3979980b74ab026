//! The binaries that are compared: where they come from, and why one is missing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reservation_worker_local::cargo;

use crate::Error;
use crate::program::{Name, Program};

pub const WORKER: Name = "worker";
pub const WORKER_WITH_PGO: Name = "worker with PGO";
pub const MINIMAL: Name = "minimal function";
pub const MINIMAL_WITH_PGO: Name = "minimal function with PGO";
pub const GO: Name = "Go function";
/// Another build of the worker, which the variable `BEFORE` names.
pub const EARLIER_WORKER: Name = "earlier worker";

/// The binary of each program, or why there is none.
pub struct Programs(BTreeMap<Name, Result<PathBuf, String>>);

impl Programs {
    /// Builds the programs, except those that variables name.
    pub fn build() -> Result<Self, Error> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
        let release = cargo::build_release(workspace, target)?;
        let with_pgo = match env::var_os("PGO_BINARIES") {
            Some(folder) => Ok(workspace.join(folder)),
            None => {
                Err("the variable `PGO_BINARIES` names no folder with binaries built with PGO".to_owned())
            }
        };
        let earlier = env::var_os("BEFORE").map(|binary| workspace.join(binary));
        let binaries = [
            (WORKER, Ok(release.join("reservation-worker"))),
            (MINIMAL, Ok(release.join("minimal_function"))),
            (WORKER_WITH_PGO, with_pgo.clone().map(|folder| folder.join("reservation-worker"))),
            (MINIMAL_WITH_PGO, with_pgo.map(|folder| folder.join("minimal_function"))),
            (GO, build_go(&workspace.join("benches/functions/go"), &release.join("go_function"))),
            (EARLIER_WORKER, earlier.ok_or_else(|| "the variable `BEFORE` names no binary".to_owned())),
        ];
        match binaries.iter().filter_map(|(_, binary)| binary.as_ref().ok()).find(|binary| !binary.exists()) {
            Some(missing) => Err(format!("{} does not exist", missing.display()).into()),
            None => Ok(Self(binaries.into())),
        }
    }

    /// The programs with these names for which there is a binary.
    pub fn of(&self, names: &[Name]) -> Vec<Program> {
        let program =
            |name| Some(Program { name, binary: self.binary(name).ok()?.clone(), variables: vec![] });
        names.iter().filter_map(|name| program(*name)).collect()
    }

    /// The binary of a program, or why there is none.
    pub fn binary(&self, name: Name) -> Result<&PathBuf, &str> {
        self.0[name].as_ref().map_err(String::as_str)
    }

    /// The worker as it is deployed: with PGO, if there is such a build.
    pub fn deployed_worker(&self) -> Name {
        if self.binary(WORKER_WITH_PGO).is_ok() { WORKER_WITH_PGO } else { WORKER }
    }

    /// The deployed worker without one part of its telemetry, for each part, and without any telemetry.
    pub fn with_less_telemetry(&self) -> Vec<Program> {
        let (metrics, traces, log) =
            (("METRICS_SINK", "none"), ("AWS_XRAY_DAEMON_ADDRESS", ""), ("LOG_LEVEL", "error"));
        let mut programs = Vec::new();
        for (name, variables) in [
            ("without metrics", vec![metrics]),
            ("without traces", vec![traces]),
            ("without the log", vec![log]),
            ("without telemetry", vec![metrics, traces, log]),
        ] {
            let worker = self.of(&[self.deployed_worker()]);
            programs.extend(worker.into_iter().map(|worker| Program {
                name,
                variables: variables.clone(),
                ..worker
            }));
        }
        programs
    }

    /// The size of a program's deployment package in MiB.
    pub fn zip_size(&self, name: Name) -> Result<f64, Error> {
        let folder = tempfile::tempdir()?;
        let (zip, bootstrap) = (folder.path().join("bootstrap.zip"), folder.path().join("bootstrap"));
        fs::copy(self.binary(name)?, &bootstrap)?;
        let status =
            Command::new("python3").args(["-m", "zipfile", "-c"]).args([&zip, &bootstrap]).status()?;
        if !status.success() {
            return Err("python3 -m zipfile failed".into());
        }
        Ok(fs::metadata(zip)?.len() as f64 / (1024.0 * 1024.0))
    }
}

/// Builds the Go function as AWS documents it for functions in Go, without the debug information.
fn build_go(source: &Path, binary: &Path) -> Result<PathBuf, String> {
    let mut build = Command::new("go");
    build
        .args(["build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o"])
        .arg(binary)
        .arg(".");
    let output = build.current_dir(source).env("CGO_ENABLED", "0").output();
    let output = output.map_err(|error| format!("`go` cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(binary.to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(format!("`go build` failed: {}", message.lines().last().unwrap_or_default()))
}
