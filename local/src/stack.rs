//! The command `stack`: both services, the mapping and the function, for a queue that exists already. `make incident`
//! controls it by commands on stdin, and reads its reports from stdout. Each is one JSON object per line. It runs until
//! stdin is closed.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reservation_worker_local::event_source::{Mapping, RunningMapping};
use reservation_worker_local::{Service, Services, cargo};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::time::interval;

use crate::options::Failure;
use crate::pipeline::PROFILE;

const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// The argument of the command, as JSON.
#[derive(Deserialize)]
struct Settings {
    endpoint: String,
    queue_url: String,
    queue_arn: String,
    /// Environment variables of the function, in addition to the addresses of the services.
    environment: BTreeMap<String, String>,
    function_timeout_ms: u64,
    /// The time after which an idle process is ended.
    idle_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Stop(Service),
    Restart(Service),
    /// The reservation API accepts only this token.
    RequireToken(String),
    /// Starts or stops the mapping.
    Mapping(bool),
}

pub(crate) async fn run(settings: &str) -> Result<ExitCode, Failure> {
    let mut stack = Stack::start(serde_json::from_str(settings)?).await?;
    println!("{}", json!(stack.services.environment()));
    let mut commands = BufReader::new(stdin()).lines();
    let mut reports = interval(REPORT_INTERVAL);
    loop {
        tokio::select! {
            line = commands.next_line() => match line? {
                Some(line) => stack.execute(serde_json::from_str(&line)?).await?,
                None => break,
            },
            _ = reports.tick() => println!("{}", stack.report()),
        }
    }
    stack.stop_mapping().await;
    println!("{}", stack.report());
    Ok(ExitCode::SUCCESS)
}

struct Stack {
    services: Services,
    mapping: Mapping,
    running: Option<RunningMapping>,
    /// The log lines of a stopped mapping that were not reported yet.
    stopped_log: Vec<Value>,
}

impl Stack {
    async fn start(settings: Settings) -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let services = Services::start().await?;
        let mut environment = services.environment();
        environment.extend(settings.environment);
        let mapping = Mapping {
            endpoint: settings.endpoint,
            fifo: settings.queue_url.ends_with(".fifo"),
            queue_url: settings.queue_url,
            queue_arn: settings.queue_arn,
            batch_size: 10,
            window: Duration::ZERO,
            maximum_concurrency: 50,
            function: cargo::function(&root, &target, PROFILE)?,
            environment,
            function_timeout: Duration::from_millis(settings.function_timeout_ms),
            idle: Duration::from_millis(settings.idle_ms),
        };
        let running = Some(mapping.clone().start().await?);
        Ok(Self { services, mapping, running, stopped_log: Vec::new() })
    }

    async fn execute(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Stop(service) => self.services.stop(service).await,
            Command::Restart(service) => self.services.restart(service).await?,
            Command::RequireToken(token) => self.services.require_token(&token),
            Command::Mapping(true) if self.running.is_none() => {
                self.running = Some(self.mapping.clone().start().await?);
            }
            Command::Mapping(true) => {}
            Command::Mapping(false) => self.stop_mapping().await,
        }
        Ok(())
    }

    async fn stop_mapping(&mut self) {
        if let Some(running) = self.running.take() {
            self.stopped_log.extend(running.stop().await.into_iter().map(|line| line.json));
        }
    }

    /// What has happened since the last report: metrics, lines of the log, and the totals of the mapping.
    fn report(&mut self) -> Value {
        let calls = self.services.cloudwatch().take().into_iter();
        let data = calls.flat_map(|call| call.data).map(|datum| {
            json!({ "name": datum.name, "dimensions": datum.dimensions, "values": datum.values, "unit": datum.unit })
        });
        let metrics: Vec<_> = data.collect();
        let mut log = std::mem::take(&mut self.stopped_log);
        let stats = self.running.as_ref().map(|running| {
            log.extend(running.take_log_lines().into_iter().map(|line| line.json));
            let stats = running.stats();
            json!({ "invocations": stats.invocations, "failed": stats.timeouts + stats.crashes, "done": stats.done })
        });
        json!({ "metrics": metrics, "log": log, "stats": stats })
    }
}
