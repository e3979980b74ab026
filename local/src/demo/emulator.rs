//! The function under `cargo lambda watch`, and `cargo lambda invoke`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reservation_worker_local::Services;
use reservation_worker_local::expectations::Summary;
use reservation_worker_local::output::Output;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::processes::Family;
use crate::Failure;

const FUNCTION: &str = "reservation-worker";
/// The tests of the built function use the same profile, so that `make test` builds the function once.
const PROFILE: &str = "process";
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Everything is compiled by then, so this is for two cold processes on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const INVOKE_LIMIT: Duration = Duration::from_secs(30);
/// A summary line is written before the response, or hardly later.
const LOG_LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// A running `cargo lambda watch`.
pub(super) struct Emulator {
    root: PathBuf,
    port: u16,
    watch: Family,
    output: Output,
}

impl Emulator {
    /// Builds the function, starts it under the emulator, and waits until it has answered.
    pub(super) async fn start(root: &Path, services: &Services) -> Result<Self, Failure> {
        let mut version = cargo(root);
        version.args(["lambda", "--version"]).kill_on_drop(true);
        let version = version.output().await?;
        if !version.status.success() {
            return Err("there is no `cargo lambda`; `make demo` installs it and puts it on the PATH".into());
        }
        // Here and not by the emulator, which shows no progress and stops waiting at some time.
        eprintln!("building the function (some minutes the first time) ...");
        let mut build = cargo(root);
        build.args(["build", "--profile", PROFILE, "--locked", "--package", FUNCTION, "--bin", FUNCTION]);
        if !Family::start(&mut build)?.wait().await?.success() {
            return Err("the function does not compile".into());
        }
        eprintln!("starting it under `cargo lambda watch` ...");
        let port = TcpListener::bind((ADDRESS, 0))?.local_addr()?.port();
        let output = Output::new()?;
        let mut watch = cargo(root);
        watch
            .args([
                "lambda",
                "watch",
                "--ignore-changes",
                "--profile",
                PROFILE,
                "--locked",
                "--package",
                FUNCTION,
            ])
            .args(at(port))
            .envs(services.environment())
            .env("LOG_LEVEL", "info")
            // What is expected leaves no room for the second try of a call that a busy desk was slow with.
            .env("INVENTORY_TIMEOUT_MS", "3000")
            .stdout(output.stdio()?)
            .stderr(output.stdio()?);
        let watch = Family::start(&mut watch)?;
        let mut emulator = Emulator { root: root.to_owned(), port, watch, output };
        emulator.answers().await?;
        Ok(emulator)
    }

    /// Waits until a record has gone through the function.
    async fn answers(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + START_LIMIT;
        while TcpStream::connect((ADDRESS, self.port)).await.is_err() {
            self.still_runs(until).await?;
        }
        let record = json!({ "messageId": "are-you-there", "body": "", "eventSource": "aws:sqs" });
        let probe = json!({ "Records": [record] }).to_string();
        self.run_invoke("--data-ascii", probe.into(), START_LIMIT).await?;
        while self.summaries(1).await.is_empty() {
            self.still_runs(until).await?;
        }
        Ok(())
    }

    /// Pauses, unless there is nothing left to wait for.
    async fn still_runs(&mut self, until: Instant) -> Result<(), Failure> {
        if let Ok(ended) = timeout(PAUSE, self.watch.wait()).await {
            return Err(self.failure(&format!("`cargo lambda watch` has ended: {}", ended?)));
        }
        let output = self.output.lines();
        if output.iter().any(|line| line.contains("command exited")) {
            return Err(self.failure("the function has ended"));
        }
        if Instant::now() > until {
            return Err(self.failure("the function does not answer"));
        }
        Ok(())
    }

    /// Hands an event to the function. An invocation that failed is a response too: a string.
    pub(super) async fn invoke(&mut self, event: &Path) -> Result<Value, Failure> {
        self.run_invoke("--data-file", event.into(), INVOKE_LIMIT).await
    }

    async fn run_invoke(&mut self, option: &str, data: OsString, limit: Duration) -> Result<Value, Failure> {
        let mut invoke = cargo(&self.root);
        invoke
            .args(["lambda", "invoke", FUNCTION, option])
            .arg(data)
            .args(at(self.port))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let until = Instant::now() + limit;
        let invoked = invoke.output();
        tokio::pin!(invoked);
        let invoked = loop {
            tokio::select! {
                invoked = &mut invoked => break invoked?,
                stopped = self.still_runs(until) => stopped?,
            }
        };
        let response = serde_json::from_slice(&invoked.stdout);
        Ok(response.unwrap_or_else(|_| String::from_utf8_lossy(&invoked.stderr).trim().into()))
    }

    /// The summary lines since the last call; waits a little for `count` of them.
    pub(super) async fn summaries(&mut self, count: usize) -> Vec<Summary> {
        let until = Instant::now() + LOG_LIMIT;
        let mut summaries = Vec::new();
        loop {
            summaries.extend(self.output.take_json_lines().iter().filter_map(Summary::of));
            if summaries.len() >= count || Instant::now() > until {
                return summaries;
            }
            sleep(PAUSE).await;
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let output = self.output.lines();
        let last = output.len().saturating_sub(20);
        format!("{what}; its last output:\n{}", output[last..].join("\n")).into()
    }
}

fn cargo(workspace: &Path) -> Command {
    reservation_worker_local::cargo::command(workspace).into()
}

/// Where the emulator listens, as both of its commands want to be told.
fn at(port: u16) -> [String; 4] {
    let (address, port) = (ADDRESS.to_string(), port.to_string());
    ["--invoke-address".into(), address, "--invoke-port".into(), port]
}
