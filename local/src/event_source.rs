//! The event source mapping: what AWS runs between the queue and the function, and no emulator does without
//! containers. The queue is any that speaks SQS's protocol.
//!
//! What a message meets, in this order: `queues` has it, `pollers` receive it, `event` makes it a record,
//! `processes` invoke the function, `rules` read its response.

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

mod client;
mod event;
mod moto;
mod outgoing;
mod pollers;
mod processes;
mod queues;
mod rules;
mod shared;
mod sqs;

pub use outgoing::Outgoing;
pub use queues::Queue;
pub use rules::{Verdict, delivered};
pub use sqs::Sqs;

use pollers::Source;
use processes::Processes;
use shared::Shared;

/// AWS starts with as many.
const POLLERS: usize = 5;
/// How often processes are looked over for idle ones.
const ROUND: Duration = Duration::from_millis(100);

/// An event source mapping with `ReportBatchItemFailures`, and the function behind it.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Where SQS is: `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// The queue as SQS names it.
    pub queue_url: String,
    /// The queue as the function sees it.
    pub queue_arn: String,
    /// It is a FIFO queue.
    pub fifo: bool,
    /// `BatchSize`: 1 to 10; with a window up to 10,000.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`; FIFO queues have none.
    pub window: Duration,
    /// `MaximumConcurrency`: most processes at a time.
    pub maximum_concurrency: usize,
    /// The function's binary.
    pub function: PathBuf,
    /// The function's environment, region and keys for the queue among it.
    pub environment: BTreeMap<String, String>,
    /// The function's time-out; then its process is killed.
    pub function_timeout: Duration,
    /// A process without work for so long is ended: SIGTERM, and SIGKILL if it still runs 2 s later.
    pub idle: Duration,
}

impl Mapping {
    /// A mapping with AWS's defaults. The function finds the queue, whatever `environment` says of it.
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

    /// Starts to poll.
    ///
    /// # Errors
    ///
    /// AWS would not create such a mapping, or the function is not there.
    pub async fn start(self) -> io::Result<Running> {
        self.check()?;
        let shared = Arc::new(Shared::default());
        let source = Arc::new(Source {
            client: client::client(&self.endpoint, &self.environment),
            queue_url: self.queue_url,
            queue_arn: self.queue_arn,
            fifo: self.fifo,
            batch_size: self.batch_size,
            window: self.window,
            processes: Processes {
                binary: self.function,
                environment: self.environment,
                limit: self.function_timeout,
                shared: shared.clone(),
                idle: Mutex::default(),
            },
            shared,
            free: Arc::new(Semaphore::new(self.maximum_concurrency)),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..POLLERS.min(self.maximum_concurrency) {
            tasks.spawn(source.clone().poll(stopped.clone()));
        }
        tasks.spawn(rounds(source.clone(), self.idle, stopped));
        Ok(Running { source, stop, tasks })
    }

    fn check(&self) -> io::Result<()> {
        let wrong = match self {
            _ if !(1..=1_000).contains(&self.maximum_concurrency) => {
                "maximum_concurrency is not from 1 to 1,000"
            }
            _ if !(1..=10_000).contains(&self.batch_size) => "batch_size is not from 1 to 10,000",
            _ if self.batch_size > 10 && self.fifo => "batch_size of a FIFO queue is at most 10",
            _ if self.batch_size > 10 && self.window < Duration::from_secs(1) => {
                "batch_size above 10 needs a window of at least 1 s"
            }
            _ if self.window > Duration::from_secs(300) => "a window is at most 300 s",
            _ if !self.window.is_zero() && self.fifo => "a FIFO queue has no window",
            _ if !self.function.is_file() => {
                let function = self.function.display();
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("no function at {function}")));
            }
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}

/// Scales down: the queue decides how many processes have no work.
async fn rounds(source: Arc<Source>, idle: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        source.processes.end_idle(idle).await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep(ROUND) => {}
        }
    }
}

/// What a mapping has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Function processes now, busy or not.
    pub processes: usize,
    /// Messages received and not yet settled.
    pub in_flight: usize,
    /// Messages deleted.
    pub done: u64,
    /// Receives that did not end in a deletion.
    pub returned: u64,
    /// Invocations, failed ones included.
    pub invocations: u64,
    /// Invocations that ended with the function's time.
    pub timeouts: u64,
    /// Invocations that ended with their process.
    pub crashes: u64,
}

/// A running mapping. Dropped, it stops at once, as if the machine went away.
#[derive(Debug)]
pub struct Running {
    source: Arc<Source>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Running {
    /// The counts now.
    pub fn stats(&self) -> Stats {
        self.source.shared.stats()
    }

    /// Kills (SIGKILL) a random process that is at work; `false` if there is none.
    pub fn kill_one(&self) -> bool {
        self.source.shared.signal_one(Signal::KILL)
    }

    /// Freezes (SIGSTOP) a random process that is at work, so that its invocation ends with the function's time;
    /// `false` if there is none.
    pub fn freeze_one(&self) -> bool {
        self.source.shared.signal_one(Signal::STOP)
    }

    /// The JSON lines that all processes so far have printed, those of one process in order. The mapping's own
    /// are among them, with the target `event_source`.
    pub fn log_lines(&self) -> Vec<Value> {
        self.source.shared.lines()
    }

    /// From its sending to its deletion, of each message that was deleted.
    pub fn ages(&self) -> Vec<Duration> {
        self.source.shared.ages()
    }

    /// Receives nothing more, finishes what is in flight, and ends the processes.
    pub async fn stop(mut self) {
        _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.source.processes.end_idle(Duration::ZERO).await;
    }
}
