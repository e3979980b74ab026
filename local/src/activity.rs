//! What the console and the terminal show of the pipeline: the records as they end, the log, the spans, and the current
//! numbers.
//!
//! Two tasks observe the pipeline several times per second. `log_interpreter` derives the records from the log lines,
//! `history` stores the most recent ones, `invariants` checks the services, and `overview` contains the current
//! numbers. `insights` lets the operator's tool search the log, and `tool_build` is the build of this tool.

mod history;
mod insights;
mod invariants;
mod log_interpreter;
mod overview;
mod queue_depth;
mod record;
mod tool_build;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reservation_worker_local::output::Output;
use reservation_worker_local::trace_receivers::Collector;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub(crate) use self::history::{History, NumberedLine};
use self::insights::Insights;
pub(crate) use self::insights::LOG_GROUP;
pub(crate) use self::overview::Overview;
use self::queue_depth::QueueDepth;
pub(crate) use self::record::Record;
use self::tool_build::ToolBuild;
use crate::pipeline::Pipeline;

/// The time between two observations of the log.
const LOG_INTERVAL: Duration = Duration::from_millis(150);
/// The time between two observations of the queue. Each takes two calls to SQS.
const QUEUE_INTERVAL: Duration = Duration::from_millis(500);

/// The activity of a pipeline. Dropping it ends the observation.
pub(crate) struct Activity {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    insights: Insights,
    pub(crate) tool_build: ToolBuild,
    _tasks: JoinSet<()>,
}

struct Shared {
    pipeline: Arc<Pipeline>,
    collector: Collector,
    history: Arc<Mutex<History>>,
    /// Locked while the console sends messages with expected outcomes. The log is not read meanwhile, so that no
    /// outcome is observed before its expected outcome is known.
    sending: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
}

impl Activity {
    /// Starts to observe the pipeline. The function sends its spans to `collector`.
    ///
    /// # Errors
    ///
    /// A port cannot be opened, or the limit of open files is reached.
    pub(crate) async fn observe(pipeline: Arc<Pipeline>, collector: Collector) -> io::Result<Self> {
        let (changed, changes) = watch::channel(0);
        let sqs_log = pipeline.sqs.log()?;
        let history = Arc::new(Mutex::new(History::new(sqs_log.is_some())));
        let insights = Insights::start(history.clone()).await?;
        let shared = Arc::new(Shared { pipeline, collector, history, sending: Default::default(), changed });
        let mut tasks = JoinSet::new();
        tasks.spawn(observe_log(shared.clone()));
        tasks.spawn(observe_queue(shared.clone(), sqs_log));
        Ok(Self { shared, changes, insights, tool_build: ToolBuild::default(), _tasks: tasks })
    }

    /// The variables with which the operator's tool uses this pipeline and searches the log of the function. The keys
    /// for AWS itself are secret, so they are not included: the caller already has them in its environment.
    pub(crate) fn operators_environment(&self) -> BTreeMap<String, String> {
        let Pipeline { sqs, services, .. } = &*self.shared.pipeline;
        let mut variables = services.environment();
        // With the `AWS_*` variables of the services, the tool would call the servers that only record the metrics and
        // the visibility time-outs of the function, and not the queue.
        variables.retain(|name, _| !name.starts_with("AWS_"));
        if !sqs.is_aws() {
            variables.extend(sqs.environment().clone());
        }
        let endpoint = self.insights.endpoint().to_owned();
        variables.insert("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS".to_owned(), endpoint);
        variables
    }

    /// What happened up to now.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.shared.history()
    }

    /// No record is observed until the guard is dropped.
    pub(crate) async fn pause(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.sending.lock().await
    }

    /// Announces a change that is not in the history.
    pub(crate) fn announce(&self) {
        self.shared.notify();
    }

    /// Changes when the overview of the history changes, and with each [`Self::announce`].
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

impl Shared {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

async fn observe_log(shared: Arc<Shared>) {
    loop {
        sleep(LOG_INTERVAL).await;
        let Pipeline { mapping, services, .. } = &*shared.pipeline;
        let _nothing_is_sent = shared.sending.lock().await;
        // The metrics are not shown. They are removed, so that they do not use more and more memory.
        drop(services.cloudwatch().take());
        // Before the lines, so that all lines of a process that is missing are known.
        let processes = mapping.processes();
        let (spans, lines) = (shared.collector.take(), mapping.take_log_lines());
        let mut history = shared.history();
        history.add_spans(spans);
        history.add_lines(lines);
        let changed = history.update(mapping.stats(), &processes, services);
        drop(history);
        if changed {
            shared.notify();
        }
    }
}

async fn observe_queue(shared: Arc<Shared>, mut sqs_log: Option<Output>) {
    loop {
        let Pipeline { mapping, queue, services, .. } = &*shared.pipeline;
        let revision = services.revision();
        let depth = async {
            let (depth, dead_depth) = (queue.depth().await?, queue.dead_depth().await?);
            Ok::<_, io::Error>(QueueDepth::new(depth, dead_depth, mapping.stats()))
        };
        let depth = depth.await.map_err(|error| error.to_string());
        // After the depth, so that each deletion is known that the depth shows.
        let changes = sqs_log.as_mut().map(Output::take_json_lines).unwrap_or_default();
        shared.history().set_depth(depth, revision, &changes);
        sleep(QUEUE_INTERVAL).await;
    }
}
