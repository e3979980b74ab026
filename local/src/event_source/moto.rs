//! Moto, an implementation of SQS in Python, as a child process.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::output::Output;

/// Moto usually starts within a few seconds. The limit is for a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running moto. Dropping this value kills it. It also ends when this process ends for any other reason.
#[derive(Debug)]
pub(super) struct Moto {
    port: u16,
    log: Output,
    _child: Child,
}

impl Moto {
    /// Starts moto. `tools` is the Python virtual environment with moto, or the folder that contains it as `venv`. With
    /// `longest_poll`, an empty queue replies to a long poll after this time at the latest.
    pub(super) async fn start(tools: &Path, longest_poll: Option<Duration>) -> io::Result<Self> {
        let candidates = ["bin/python", "venv/bin/python"].map(|python| tools.join(python));
        let Some(python) = candidates.iter().find(|python| python.exists()) else {
            let tools = tools.display();
            return Err(io::Error::other(format!("no Python in {tools}; `make tools` installs it")));
        };
        let log = Output::new()?;
        let mut command = Command::new(python);
        command.arg("-c").arg(include_str!("moto.py"));
        command.args(longest_poll.map(|time| time.as_secs_f64().to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.stdio()?).kill_on_drop(true);
        // Ctrl-C in a terminal reaches only the caller, which ends moto when it does not need it any more.
        command.process_group(0);
        let mut child = command.spawn()?;
        let mut port = String::new();
        if let Some(stdout) = child.stdout.take() {
            timeout(START_LIMIT, BufReader::new(stdout).read_line(&mut port))
                .await
                .map_err(io::Error::other)??;
        }
        match port.trim().parse() {
            Ok(port) => Ok(Self { port, log, _child: child }),
            Err(_) => Err(io::Error::other(format!("moto did not start: {}", log.lines().join("\n")))),
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn log(&self) -> &Output {
        &self.log
    }

    /// The calls that `moto.py` has logged.
    pub(super) fn calls(&self) -> Vec<Value> {
        self.log.json_lines()
    }
}
