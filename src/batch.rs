//! SQS event in, batch response out (contract section 5).

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Diagnostic, LambdaEvent};
use opentelemetry::trace::FutureExt;
use opentelemetry::{Context, KeyValue};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{Instrument, Span, error_span};

use crate::config::Config;
use crate::outcome::{Ended, Outcome};
use crate::record::{Record, UnusableRecord};
use crate::retry::Deadline;
use crate::schedule::{self, Limits, Turn};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{self, Parent, describe};
use crate::visibility::Visibility;

/// Less is not enough to write the log lines and the answer of a large batch.
const LEAST_RESERVE: Duration = Duration::from_millis(100);

/// Turns records into outcomes. The batch knows nothing else of the work.
pub trait Handler {
    /// What a record asks for, or that it could not be understood.
    type Job: Job;

    /// Reads a record.
    fn read(&self, record: &Record) -> Self::Job;

    /// Does what it asks for.
    fn work(&self, job: &Self::Job, deadline: Deadline) -> impl Future<Output = Outcome>;
}

/// What the batch must know of a [`Handler::Job`].
pub trait Job {
    /// Two jobs of the same lane and identity are the same work.
    type Identity: Eq + Hash;

    /// The lane, in which jobs run one after the other, and the identity; `None` if it runs on its own.
    fn lane(&self) -> Option<(&str, &Self::Identity)>;

    /// The span that says in the log which record it is.
    fn span(&self, record: &Record) -> Span;

    /// The span of another program that it comes from.
    fn producer(&self) -> Option<&Parent> {
        None
    }

    /// What its own trace span says, besides what is known of any record.
    fn attributes(&self) -> Vec<KeyValue> {
        Vec::new()
    }

    /// Tells how its record ended, with what is known of it besides.
    fn tell(&self, ended: Ended<'_>, metrics: &Metrics) {
        ended.tell(None, metrics);
    }
}

/// Works on batches with a [`Handler`].
#[derive(Debug)]
pub struct Batch<H> {
    handler: H,
    visibility: Visibility,
    metrics: Metrics,
    permits: Semaphore,
    max_retries: u32,
    reserve: Duration,
    time_for_work: Duration,
}

/// Why a batch could not even be begun. Holds nothing of the payload.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotSqs {
    /// The payload is not JSON of that shape.
    #[error("the payload is not an SQS event, at line {line} column {column}")]
    Event {
        /// Where reading ended.
        line: usize,
        /// Where reading ended.
        column: usize,
    },
    /// A record could not be returned to the queue.
    #[error(transparent)]
    Record(#[from] UnusableRecord),
}

impl From<serde_json::Error> for NotSqs {
    fn from(error: serde_json::Error) -> Self {
        Self::Event { line: error.line(), column: error.column() }
    }
}

impl NotSqs {
    const ERROR_TYPE: &str = "NotSqs";
}

/// What Lambda is told.
impl From<NotSqs> for Diagnostic {
    fn from(error: NotSqs) -> Self {
        Self { error_type: NotSqs::ERROR_TYPE.to_owned(), error_message: error.to_string() }
    }
}

/// A record that is being worked on, or was.
struct Begun {
    span: Span,
    trace: Context,
    at: Instant,
}

impl<H: Handler> Batch<H> {
    /// Takes from the configuration how much is worked on at once, and how much time is kept back.
    pub fn new(config: &Config, handler: H, visibility: Visibility, metrics: Metrics) -> Self {
        Self {
            handler,
            visibility,
            metrics,
            max_retries: config.max_retries,
            permits: Semaphore::new(config.worker_concurrency),
            reserve: config.deadline_reserve.max(LEAST_RESERVE),
            time_for_work: config.reservation_api_timeout + config.inventory_timeout,
        }
    }

    /// What works on the records.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Works on a batch and says which records SQS must keep.
    ///
    /// # Errors
    ///
    /// [`NotSqs`], before any work is done, when the event is not one of SQS records with ids.
    pub async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<SqsBatchResponse, NotSqs> {
        let LambdaEvent { payload, context, .. } = event;
        let ends = Deadline::at(context.deadline());
        let records =
            records(&payload).inspect_err(|error| describe::end_batch(Some((NotSqs::ERROR_TYPE, error))))?;
        self.metrics.batch_begun(records.len());
        describe::batch(&records);
        let outcomes = self.work(&records, ends.earlier(self.reserve)).await;
        // The other half of the reserve is for the way of the answer.
        self.visibility.keep(&records, &outcomes, ends.earlier(self.reserve / 2)).await;
        describe::end_batch(None);
        Ok(response(&records, &outcomes))
    }

    async fn work(&self, records: &[Record], deadline: Deadline) -> Vec<Outcome> {
        let invocation = Context::current();
        // None where reading panicked, which is that record's affair alone.
        let read = |record| catch_unwind(AssertUnwindSafe(|| self.handler.read(record))).ok();
        let jobs: Vec<_> = records.iter().map(read).collect();
        if deadline.left().is_zero() {
            let reserve_ms = self.reserve.as_millis() as u64;
            tracing::error!(reserve_ms, "the function's time-out leaves no time beside DEADLINE_RESERVE_MS");
        }
        let turns = self.turns(records, &jobs);
        let limits = Limits {
            permits: &self.permits,
            deadline,
            // One try of each call, but never so much that a short function time-out starts nothing.
            least_time: self.time_for_work.min(deadline.left() / 2),
        };
        let begun: Vec<OnceLock<Begun>> = records.iter().map(|_| OnceLock::new()).collect();
        let begin = |place: usize| {
            begun[place].get_or_init(|| {
                let (record, job) = (&records[place], jobs[place].as_ref());
                let unread = || error_span!("record", message_id = record.message_id);
                let more = || job.map(Job::attributes).unwrap_or_default();
                Begun {
                    span: job.map_or_else(unread, |job| job.span(record)),
                    trace: traces::record(record, job.and_then(Job::producer), &invocation, more),
                    at: Instant::now(),
                }
            })
        };
        let (handler, jobs) = (&self.handler, &jobs);
        let work = |place: usize| {
            let work = async move {
                match &jobs[place] {
                    Some(job) => handler.work(job, deadline).await,
                    None => Outcome::panicked(),
                }
            };
            let Begun { span, trace, .. } = begin(place);
            work.instrument(span.clone()).with_context(trace.clone())
        };
        let (outcomes, peak) = schedule::run(&turns, limits, work, |place, outcome| {
            let worked = begun[place].get().map(|begun| begun.at.elapsed());
            let ended = Ended { record: &records[place], outcome, worked, max_retries: self.max_retries };
            let Begun { span, trace, .. } = begin(place);
            let _attached = trace.clone().attach();
            span.in_scope(|| match &jobs[place] {
                Some(job) => job.tell(ended, &self.metrics),
                None => ended.tell(None, &self.metrics),
            });
            traces::describe::end_record(trace, outcome);
        })
        .await;
        self.metrics.peak_in_flight(peak);
        outcomes
    }

    fn turns<'a>(&self, records: &'a [Record], jobs: &'a [Option<H::Job>]) -> Vec<Turn<'a>> {
        let mut last = HashMap::new();
        let turns = records.iter().zip(jobs).enumerate().map(|(place, (record, job))| {
            let lane = job.as_ref().and_then(H::Job::lane);
            Turn {
                lane: lane.map(|(name, _)| name),
                group: record.fifo_group.as_deref(),
                is_last_try: record.is_last_receive(self.max_retries),
                same_as: lane.and_then(|work| last.insert(work, place)),
            }
        });
        turns.collect()
    }
}

fn records(payload: &RawValue) -> Result<Vec<Record>, NotSqs> {
    let event: SqsEvent = serde_json::from_str(payload.get())?;
    let records = event.records.into_iter().enumerate();
    Ok(records.map(|(place, message)| Record::new(place, message)).collect::<Result<_, _>>()?)
}

/// Each returned message id once, in the order of the batch.
fn response(records: &[Record], outcomes: &[Outcome]) -> SqsBatchResponse {
    let mut named = HashSet::new();
    let returned = records.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_acknowledged());
    let mut response = SqsBatchResponse::default();
    response.set_failures(
        returned.map(|(record, _)| record.message_id.as_str()).filter(|message_id| named.insert(*message_id)),
    );
    response
}
