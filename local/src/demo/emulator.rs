//! The emulator of cargo-lambda: `cargo lambda watch` runs the function, and `cargo lambda invoke` invokes
//! it.

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

use super::process_tree::ProcessTree;
use crate::options::Failure;

const FUNCTION: &str = "reservation-worker";
/// The tests of the built function use the same profile, so that `make test` builds the function once.
const PROFILE: &str = "process";
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The function is compiled before, so that this limit is for the start of two processes on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const INVOKE_LIMIT: Duration = Duration::from_secs(30);
/// The summary lines are written before the response or shortly after it.
const LOG_LIMIT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running `cargo lambda watch`.
pub(super) struct Emulator {
    root: PathBuf,
    port: u16,
    watch: ProcessTree,
    output: Output,
}

impl Emulator {
    /// Builds the function, starts it under the emulator, and waits until it responds.
    pub(super) async fn start(root: &Path, services: &Services) -> Result<Self, Failure> {
        let mut version = cargo(root);
        version.args(["lambda", "--version"]).kill_on_drop(true);
        let version = version.output().await?;
        if !version.status.success() {
            return Err("`cargo lambda` is missing; `make demo` installs it and adds it to the PATH".into());
        }
        // The emulator would also build the function, but it prints no progress and has a time limit.
        eprintln!("building the function (the first build takes some minutes) ...");
        let mut build = cargo(root);
        build.args(["build", "--profile", PROFILE, "--locked", "--package", FUNCTION, "--bin", FUNCTION]);
        if !ProcessTree::start(&mut build)?.wait().await?.success() {
            return Err("the build of the function failed".into());
        }
        eprintln!("starting the function under `cargo lambda watch` ...");
        let port = TcpListener::bind((ADDRESS, 0))?.local_addr()?.port();
        let output = Output::new()?;
        let mut watch = cargo(root);
        watch
            .args(
                format!("lambda watch --ignore-changes --profile {PROFILE} --locked --package {FUNCTION}")
                    .split(' '),
            )
            .args(address_options(port))
            .envs(services.environment())
            .env("LOG_LEVEL", "info")
            // On a busy machine, a call may exceed the default of 250 ms. A second attempt would differ from
            // the expected calls.
            .env("INVENTORY_TIMEOUT_MS", "3000")
            .stdout(output.stdio()?)
            .stderr(output.stdio()?);
        let watch = ProcessTree::start(&mut watch)?;
        let mut emulator = Emulator { root: root.to_owned(), port, watch, output };
        emulator.wait_until_ready().await?;
        Ok(emulator)
    }

    /// Waits until the function has processed a record.
    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((ADDRESS, self.port)).await.is_err() {
            self.check_running(deadline).await?;
        }
        let record = json!({ "messageId": "readiness-probe", "body": "", "eventSource": "aws:sqs" });
        let probe = json!({ "Records": [record] }).to_string();
        self.run_invoke("--data-ascii", probe.into(), START_LIMIT).await?;
        while self.summaries(1).await.is_empty() {
            self.check_running(deadline).await?;
        }
        Ok(())
    }

    /// Waits for one poll interval.
    ///
    /// # Errors
    ///
    /// The emulator or the function has ended, or the deadline has passed.
    async fn check_running(&mut self, deadline: Instant) -> Result<(), Failure> {
        if let Ok(ended) = timeout(POLL_INTERVAL, self.watch.wait()).await {
            return Err(self.failure(&format!("`cargo lambda watch` has ended: {}", ended?)));
        }
        let output = self.output.lines();
        if output.iter().any(|line| line.contains("command exited")) {
            return Err(self.failure("the function has ended"));
        }
        if Instant::now() > deadline {
            return Err(self.failure("the function does not respond"));
        }
        Ok(())
    }

    /// Invokes the function with the event in this file. If the invocation fails, the response is a string
    /// with the error.
    pub(super) async fn invoke(&mut self, event: &Path) -> Result<Value, Failure> {
        self.run_invoke("--data-file", event.into(), INVOKE_LIMIT).await
    }

    async fn run_invoke(&mut self, option: &str, data: OsString, limit: Duration) -> Result<Value, Failure> {
        let mut invoke = cargo(&self.root);
        invoke
            .args(["lambda", "invoke", FUNCTION, option])
            .arg(data)
            .args(address_options(self.port))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let deadline = Instant::now() + limit;
        let output = invoke.output();
        tokio::pin!(output);
        let output = loop {
            tokio::select! {
                output = &mut output => break output?,
                stopped = self.check_running(deadline) => stopped?,
            }
        };
        let response = serde_json::from_slice(&output.stdout);
        Ok(response.unwrap_or_else(|_| String::from_utf8_lossy(&output.stderr).trim().into()))
    }

    /// Returns the summary lines since the last call. Waits up to 2 s for `count` of them.
    pub(super) async fn summaries(&mut self, count: usize) -> Vec<Summary> {
        let deadline = Instant::now() + LOG_LIMIT;
        let mut summaries = Vec::new();
        loop {
            summaries.extend(self.output.take_json_lines().iter().filter_map(Summary::of));
            if summaries.len() >= count || Instant::now() > deadline {
                return summaries;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn failure(&self, message: &str) -> Failure {
        let output = self.output.lines();
        let last = output.len().saturating_sub(20);
        format!("{message}; its last output:\n{}", output[last..].join("\n")).into()
    }
}

fn cargo(workspace: &Path) -> Command {
    reservation_worker_local::cargo::command(workspace).into()
}

/// The options with the emulator's address, for both `watch` and `invoke`.
fn address_options(port: u16) -> [String; 4] {
    let (address, port) = (ADDRESS.to_string(), port.to_string());
    ["--invoke-address".into(), address, "--invoke-port".into(), port]
}
