//! The function's processes: one an invocation at a time, started when all others are busy.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use super::shared::Shared;
use crate::runtime_api::{Function, InvokeError};
use crate::services::locked;

/// Lambda's shutdown phase, for a function with an extension.
const SHUTDOWN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Processes {
    pub(super) binary: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) limit: Duration,
    pub(super) shared: Arc<Shared>,
    /// The one used last is on top, so that those at the bottom get old.
    pub(super) idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
pub(super) struct Idle {
    process: Process,
    since: Instant,
}

/// A running process, counted as long as it runs.
#[derive(Debug)]
struct Process {
    function: Function,
    shared: Arc<Shared>,
}

impl Process {
    async fn end(mut self) {
        if self.function.terminate(SHUTDOWN).await.is_err() {
            self.shared.warn("the function did not end when it was told to, and is killed");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.function.kill();
        self.shared.process_ended(self.function.pid());
    }
}

impl Processes {
    /// Lambda's answer to the event, or why there is none. A process without an answer is gone.
    pub(super) async fn invoke(&self, payload: String) -> Result<Result<Value, Value>, InvokeError> {
        let top = locked(&self.idle).pop();
        let mut process = match top {
            Some(idle) => idle.process,
            None => self.start().await?,
        };
        process.function.ready().await?;
        let working = self.shared.works(process.function.pid());
        let answer = process.function.invoke_raw(payload, self.limit).await;
        drop(working);
        let answer = answer?;
        locked(&self.idle).push(Idle { process, since: Instant::now() });
        Ok(answer.response)
    }

    async fn start(&self) -> io::Result<Process> {
        let function = Function::start(&self.binary, self.environment.clone()).await?;
        self.shared.process_started(function.pid(), function.output()?);
        Ok(Process { function, shared: self.shared.clone() })
    }

    /// Ends the processes without work for so long.
    pub(super) async fn end_idle(&self, limit: Duration) {
        let old: JoinSet<_> = {
            let mut idle = locked(&self.idle);
            let young = idle.iter().position(|idle| idle.since.elapsed() < limit).unwrap_or(idle.len());
            idle.drain(..young).map(|idle| idle.process.end()).collect()
        };
        old.join_all().await;
    }
}
