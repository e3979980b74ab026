//! A handler that does what the body of each record says, and an observer that stores what is reported to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use sqs_batch::{
    BatchFinished, BatchProcessor, Completion, Deadline, Handler, Job, NotSqs, Observer, Outcome, Record,
    RecordFinished, Redelivery, Settings,
};
use tokio::time::sleep;

/// Reads bodies of the form `key work`. The key `-` means that there is no key. The work is `ok`, `fail`, `reject`,
/// `outage`, `hang`, a number of milliseconds, or `panic`, `panic-read`, `panic-key`, `panic-identity`, `panic-begun`,
/// `panic-acknowledged`, `panic-redelivery`, `panic-finished` for a panic in that place. Any other word means `ok`.
/// `fail`, `reject`, `panic` and a number can have the prefix `same-`. Records with equal bodies are the same work if
/// the work starts with `same`.
#[derive(Default)]
pub struct Script {
    running: Cell<usize>,
    pub peak: Cell<usize>,
    pub started: RefCell<Vec<String>>,
    /// The outcome of records for which no time was left.
    out_of_time: Option<fn() -> Scripted>,
}

impl Script {
    /// A handler with this outcome of records for which no time was left.
    pub fn out_of_time(outcome: fn() -> Scripted) -> Self {
        Self { out_of_time: Some(outcome), ..Self::default() }
    }
}

pub struct Line {
    key: String,
    work: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripted {
    Done,
    Failed,
    Rejected,
    Outage,
    PanicInAcknowledged,
    PanicInRedelivery,
}

impl Outcome for Scripted {
    fn is_acknowledged(&self) -> bool {
        assert_ne!(*self, Self::PanicInAcknowledged);
        *self == Self::Done
    }

    fn redelivery(&self) -> Redelivery {
        match self {
            Self::Rejected => Redelivery::Immediate,
            Self::Outage => Redelivery::AfterOutage { cause: "orders", at_least: Duration::ZERO },
            Self::Done | Self::PanicInRedelivery => panic!("the redelivery of {self:?}"),
            Self::Failed | Self::PanicInAcknowledged => Redelivery::BACKOFF,
        }
    }
}

impl Job for Line {
    fn read(record: &Record) -> Self {
        let (key, work) = record.body.as_deref().unwrap().split_once(' ').unwrap();
        assert_ne!(work, "panic-read");
        Self { key: key.to_owned(), work: work.to_owned() }
    }

    fn key(&self) -> Option<&str> {
        assert_ne!(self.work, "panic-key");
        (self.key != "-").then_some(&self.key)
    }

    fn identity(&self) -> Option<impl Eq + Hash> {
        assert_ne!(self.work, "panic-identity");
        self.work.starts_with("same").then_some(&self.work)
    }
}

impl Handler for &Script {
    type Job = Line;
    type Outcome = Scripted;

    async fn handle(&self, record: &Record, line: &Line, _: Deadline) -> Scripted {
        self.started.borrow_mut().push(record.message_id.clone());
        self.running.set(self.running.get() + 1);
        self.peak.set(self.peak.get().max(self.running.get()));
        let outcome = match line.work.as_str() {
            "fail" | "same-fail" => Scripted::Failed,
            "reject" | "same-reject" => Scripted::Rejected,
            "outage" => Scripted::Outage,
            "panic-acknowledged" => Scripted::PanicInAcknowledged,
            "panic-redelivery" => Scripted::PanicInRedelivery,
            "panic" | "same-panic" => panic!("scripted"),
            "hang" => std::future::pending().await,
            other => {
                sleep(Duration::from_millis(other.trim_start_matches("same-").parse().unwrap_or(0))).await;
                Scripted::Done
            }
        };
        self.running.set(self.running.get() - 1);
        outcome
    }

    fn out_of_time(&self) -> Option<Scripted> {
        self.out_of_time.map(|outcome| outcome())
    }
}

/// What was reported to the observer, by message id.
#[derive(Default)]
pub struct Seen {
    pub begun: RefCell<BTreeMap<String, usize>>,
    pub finished: RefCell<BTreeMap<String, Vec<Completion<Scripted>>>>,
    pub peak_in_progress: Cell<usize>,
    pub rejected: RefCell<Vec<NotSqs>>,
}

impl<'a> Observer<&'a Script> for &Seen {
    type Scope = ();

    fn record_begun(&self, record: &Record, line: Option<&Line>) {
        *self.begun.borrow_mut().entry(record.message_id.clone()).or_default() += 1;
        assert!(line.is_none_or(|line| line.work != "panic-begun"));
    }

    fn record_finished(&self, finished: RecordFinished<'_, &'a Script>, _: Option<&()>) {
        let id = finished.record.message_id.clone();
        self.finished.borrow_mut().entry(id).or_default().push(*finished.completion);
        assert!(finished.job.is_none_or(|line| line.work != "panic-finished"));
    }

    fn batch_finished(&self, batch: BatchFinished<'_>) {
        self.peak_in_progress.set(batch.peak_in_progress);
    }

    fn event_rejected(&self, error: &NotSqs) {
        self.rejected.borrow_mut().push(match error {
            NotSqs::Event { line, column } => NotSqs::Event { line: *line, column: *column },
            other => panic!("{other}"),
        });
    }
}

/// A batch that was processed.
pub struct Processed {
    pub returned: Vec<String>,
    pub seen: Seen,
}

impl Processed {
    /// How the engine completed a record, which it must have reported exactly once.
    pub fn completion(&self, id: &str) -> Completion<Scripted> {
        let finished = self.seen.finished.borrow();
        let completions = &finished[id];
        assert_eq!(completions.len(), 1, "{id}: {completions:?}");
        completions[0]
    }
}

/// The default settings with the shortest reserve: five receives and 1 s per record.
pub fn settings() -> Settings {
    Settings { deadline_reserve: Duration::from_millis(100), ..Settings::default() }
}

/// Processes a batch that Lambda ends after `seconds`.
pub async fn process(script: &Script, settings: Settings, seconds: u64, records: Value) -> Processed {
    let seen = Seen::default();
    let event = event(&json!({ "Records": records }), seconds);
    let response = BatchProcessor::new(script, settings).with_observer(&seen).handle(event).await.unwrap();
    let returned = response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
    Processed { returned, seen }
}

/// An event whose invocation ends after `seconds`.
pub fn event(payload: &Value, seconds: u64) -> LambdaEvent<Box<serde_json::value::RawValue>> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
    let mut context = Context::default();
    context.deadline = u64::try_from(end.as_millis()).unwrap();
    LambdaEvent::new(serde_json::value::to_raw_value(payload).unwrap(), context)
}

/// Records of a standard queue: message ids and bodies.
pub fn standard<'a>(records: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let records = records.into_iter().map(|(id, body)| record(id, body));
    records.collect()
}

/// Records of a FIFO queue: message ids, groups and bodies.
pub fn fifo<'a>(records: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Value {
    let records = records.into_iter().map(|(id, group, body)| {
        let mut record = record(id, body);
        record["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:123456789012:orders.fifo");
        record["attributes"]["MessageGroupId"] = json!(group);
        record
    });
    records.collect()
}

fn record(id: &str, body: &str) -> Value {
    json!({
        "messageId": id,
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1" },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
    })
}
