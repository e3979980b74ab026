//! The process of a function.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::output::Output;

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// The exit status.
    pub status: ExitStatus,
    /// The body of the request to `/runtime/init/error`, if there was one.
    pub init_error: Option<Value>,
}

/// A function process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: u32,
    started: Instant,
    output: Output,
}

impl Process {
    /// Starts `binary` with the environment variables that Lambda always sets, and with `environment`.
    pub(super) fn start(
        binary: &Path,
        runtime_api: SocketAddr,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<Self> {
        let output = Output::new()?;
        let mut command = Command::new(binary);
        // A binary that was built to measure coverage writes its results to this file.
        let profile = env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file));
        command.env_clear().envs(profile).envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "reservation-worker"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ]);
        command.envs(environment).stdin(Stdio::null()).stdout(output.stdio()?).stderr(output.stdio()?);
        let started = Instant::now();
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, started, output })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    pub(super) fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Sends this signal, unless the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        // After `wait`, the child has no id: the operating system may have given the number to another
        // process.
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGKILL, unless the process has ended.
    pub(super) fn kill(&mut self) {
        // The only error is that the process has ended.
        _ = self.child.start_kill();
    }
}
