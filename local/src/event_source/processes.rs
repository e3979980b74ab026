//! The processes of the function. A process has one invocation at a time. A new process starts when all
//! others have an invocation.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use super::state::MappingState;
use crate::lock::locked;
use crate::runtime_api::{Function, InvokeError};

/// The length of Lambda's shutdown phase for a function with an extension.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Processes {
    pub(super) binary: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    /// The time-out of an invocation.
    pub(super) timeout: Duration,
    pub(super) state: Arc<MappingState>,
    /// The processes without an invocation, sorted by the end of their last invocation. The next invocation
    /// goes to the last one, so that surplus processes become idle for long enough to be ended.
    pub(super) idle: Mutex<Vec<IdleProcess>>,
}

#[derive(Debug)]
pub(super) struct IdleProcess {
    process: FunctionProcess,
    since: Instant,
}

/// Why an invocation gave no response.
#[derive(Debug)]
pub(super) struct NoResponse {
    /// The process that was invoked. `None`: no process could be started.
    pub(super) process: Option<u32>,
    pub(super) error: InvokeError,
}

/// A running process. It is included in the counts until it is dropped.
#[derive(Debug)]
struct FunctionProcess {
    function: Function,
    state: Arc<MappingState>,
}

impl FunctionProcess {
    async fn end(mut self) {
        if self.function.terminate(SHUTDOWN_LIMIT).await.is_err() {
            self.state.warn("the function did not end after SIGTERM and is killed");
        }
    }
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        self.function.kill();
        self.state.process_ended(self.function.pid());
    }
}

impl Processes {
    /// Invokes a process with the event, which has this number of records, and returns the function's response. A
    /// process that does not respond is killed.
    pub(super) async fn invoke(
        &self,
        payload: String,
        records: usize,
    ) -> Result<Result<Value, Value>, NoResponse> {
        let idle = self.running_idle().pop();
        let mut process = match idle {
            Some(idle) => idle.process,
            None => self.start().await.map_err(|error| NoResponse { process: None, error: error.into() })?,
        };
        let pid = process.function.pid();
        let no_response = |error| NoResponse { process: Some(pid), error };
        process.function.ready().await.map_err(no_response)?;
        let invoked = self.state.mark_invoked(pid, records);
        let result = process.function.invoke_raw(payload, self.timeout).await;
        drop(invoked);
        let result = result.map_err(no_response)?;
        locked(&self.idle).push(IdleProcess { process, since: Instant::now() });
        Ok(result.response)
    }

    async fn start(&self) -> io::Result<FunctionProcess> {
        let function = Function::start(&self.binary, self.environment.clone()).await?;
        self.state.process_started(function.pid(), function.output()?);
        Ok(FunctionProcess { function, state: self.state.clone() })
    }

    /// The processes without an invocation. Those that have ended in the meantime are not among them.
    fn running_idle(&self) -> MutexGuard<'_, Vec<IdleProcess>> {
        let mut idle = locked(&self.idle);
        idle.retain_mut(|idle| {
            let runs = !idle.process.function.has_ended();
            if !runs {
                self.state.warn("a process of the function ended while it was idle");
            }
            runs
        });
        idle
    }

    /// Ends the processes that have had no invocation for `limit`.
    pub(super) async fn end_idle(&self, limit: Duration) {
        let ended: JoinSet<_> = {
            let mut idle = self.running_idle();
            let first_kept = idle.iter().position(|idle| idle.since.elapsed() < limit).unwrap_or(idle.len());
            idle.drain(..first_kept).map(|idle| idle.process.end()).collect()
        };
        ended.join_all().await;
    }
}
