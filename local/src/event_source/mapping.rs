//! The mapping: its settings, its start and its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client;
use super::pollers::Pollers;
use super::processes::Processes;
use super::queues::Queue;
use super::state::{LogLine, MappingState, RunningProcess, Stats};

/// The number of pollers with which AWS starts.
const POLLERS: usize = 5;
/// The time between two searches for idle processes.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The settings of an event source mapping with `ReportBatchItemFailures`, and of its function.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The URL of the SQS endpoint.
    pub endpoint: String,
    /// The URL of the queue.
    pub queue_url: String,
    /// The ARN of the queue, which each record contains.
    pub queue_arn: String,
    /// Whether the queue is a FIFO queue.
    pub fifo: bool,
    /// `BatchSize`: 1 to 10, or up to 10,000 with a `window`.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`: at most 300 s. Zero for FIFO queues.
    pub window: Duration,
    /// `MaximumConcurrency`: the largest number of processes that are invoked at the same time, 1 to 1,000.
    pub maximum_concurrency: usize,
    /// The path of the function's binary.
    pub function: PathBuf,
    /// The environment variables of the function. They include the region and the keys for the queue.
    pub environment: BTreeMap<String, String>,
    /// The time-out of the function. Its process is killed after this time.
    pub function_timeout: Duration,
    /// A process that was not invoked for this time is ended with SIGTERM, and with SIGKILL if it still runs
    /// 2 s later.
    pub idle: Duration,
}

impl Mapping {
    /// A mapping with the default settings of AWS. The variables for the queue replace those in
    /// `environment`.
    pub fn new(queue: &Queue, function: PathBuf, mut environment: BTreeMap<String, String>) -> Self {
        environment.extend(queue.environment.clone());
        Self {
            endpoint: queue.endpoint.clone(),
            queue_url: queue.url.clone(),
            queue_arn: queue.arn.clone(),
            fifo: queue.fifo,
            batch_size: 10,
            window: Duration::ZERO,
            maximum_concurrency: 50,
            function,
            environment,
            function_timeout: Duration::from_secs(30),
            idle: Duration::from_secs(10),
        }
    }

    /// Starts to receive messages.
    ///
    /// # Errors
    ///
    /// AWS would reject the settings, or the function's binary does not exist.
    pub async fn start(self) -> io::Result<RunningMapping> {
        self.check()?;
        let state = Arc::new(MappingState::default());
        let pollers = Arc::new(Pollers {
            client: client::client(&self.endpoint, &self.environment),
            queue_url: self.queue_url,
            queue_arn: self.queue_arn,
            fifo: self.fifo,
            batch_size: self.batch_size,
            window: self.window,
            processes: Processes {
                binary: self.function,
                environment: self.environment,
                timeout: self.function_timeout,
                state: state.clone(),
                idle: Mutex::default(),
            },
            state,
            free: Arc::new(Semaphore::new(self.maximum_concurrency)),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..POLLERS.min(self.maximum_concurrency) {
            tasks.spawn(pollers.clone().poll(stopped.clone()));
        }
        tasks.spawn(end_idle_processes(pollers.clone(), self.idle, stopped));
        Ok(RunningMapping { pollers, stop, tasks })
    }

    fn check(&self) -> io::Result<()> {
        let problem = match self {
            _ if !(1..=1_000).contains(&self.maximum_concurrency) => "maximum_concurrency must be 1 to 1,000",
            _ if !(1..=10_000).contains(&self.batch_size) => "batch_size must be 1 to 10,000",
            _ if self.batch_size > 10 && self.fifo => "batch_size of a FIFO queue must be at most 10",
            _ if self.batch_size > 10 && self.window < Duration::from_secs(1) => {
                "batch_size above 10 requires a window of at least 1 s"
            }
            _ if self.window > Duration::from_secs(300) => "the window must be at most 300 s",
            _ if !self.window.is_zero() && self.fifo => "the window of a FIFO queue must be zero",
            _ if !self.function.is_file() => {
                let function = self.function.display();
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("no function at {function}")));
            }
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }
}

/// Ends the processes that have been idle for too long, until the mapping stops.
async fn end_idle_processes(pollers: Arc<Pollers>, idle: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        pollers.processes.end_idle(idle).await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep(IDLE_CHECK_INTERVAL) => {}
        }
    }
}

/// A running mapping. Dropping it stops it immediately, and messages in flight are not deleted.
#[derive(Debug)]
pub struct RunningMapping {
    pollers: Arc<Pollers>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl RunningMapping {
    /// The current counts.
    pub fn stats(&self) -> Stats {
        self.pollers.state.stats()
    }

    /// Kills (SIGKILL) a random process that has an invocation. Returns `false` if there is none.
    pub fn kill_one(&self) -> bool {
        self.pollers.state.signal_one(Signal::KILL)
    }

    /// Suspends (SIGSTOP) a random process that has an invocation, so that the invocation reaches its time-out.
    /// Returns `false` if there is none.
    pub fn freeze_one(&self) -> bool {
        self.pollers.state.signal_one(Signal::STOP)
    }

    /// The JSON lines that all processes have printed. The lines of one process are in order. The log lines
    /// of the mapping itself are among them; their `target` is `event_source`. Only the latest 200,000 lines
    /// are available.
    pub fn log_lines(&self) -> Vec<Value> {
        self.pollers.state.log_lines()
    }

    /// Returns the lines of [`Self::log_lines`] with the processes that have printed them, and removes them.
    pub fn take_log_lines(&self) -> Vec<LogLine> {
        self.pollers.state.take_log_lines()
    }

    /// The running processes, by process id.
    pub fn processes(&self) -> Vec<RunningProcess> {
        self.pollers.state.running()
    }

    /// Kills (SIGKILL) a process. Returns `false` if no process of the function has this id.
    pub fn kill(&self, pid: u32) -> bool {
        self.pollers.state.signal(pid, Signal::KILL)
    }

    /// Suspends (SIGSTOP) a process. Returns `false` if no process of the function has this id.
    pub fn freeze(&self, pid: u32) -> bool {
        self.pollers.state.signal(pid, Signal::STOP)
    }

    /// Continues (SIGCONT) a suspended process. Returns `false` if no process of the function has this id.
    pub fn thaw(&self, pid: u32) -> bool {
        self.pollers.state.signal(pid, Signal::CONT)
    }

    /// The time between sending and deletion, for the latest 200,000 messages that were deleted.
    pub fn ages(&self) -> Vec<Duration> {
        self.pollers.state.ages()
    }

    /// Stops receiving messages, completes the messages in flight, and ends the processes. Then returns the lines of
    /// [`Self::take_log_lines`], which include those that were printed until the processes ended.
    pub async fn stop(mut self) -> Vec<LogLine> {
        _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.pollers.processes.end_idle(Duration::ZERO).await;
        self.pollers.state.take_log_lines()
    }
}
