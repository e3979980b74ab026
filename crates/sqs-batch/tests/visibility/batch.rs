//! A handler whose records say how they end, and an observer that writes down the visibility failures.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::error::ProvideErrorMetadata;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sqs_batch::visibility::{FailureReason, Visibility};
use sqs_batch::{
    BatchFinished, BatchProcessor, Deadline, Handler, Observer, Outcome, Record, Redelivery, Settings,
};
use tokio::time::Instant;

pub const QUEUE_URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";

/// Reads bodies: `done`, `retry`, `retry after 600 s`, `reject`, `panic` or `hang`; `inventory down`, `payments down`
/// or `inventory down, after 900 s`.
#[derive(Debug)]
pub struct Script;

#[derive(Debug, Clone, Copy)]
pub enum Scripted {
    Done,
    Retry { at_least: Duration },
    Outage { cause: &'static str, at_least: Duration },
    Reject,
}

impl Outcome for Scripted {
    fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Done)
    }

    fn redelivery(&self) -> Redelivery {
        match *self {
            Self::Done => panic!("an acknowledged record is not delivered again"),
            Self::Retry { at_least } => Redelivery::AfterBackoff { at_least },
            Self::Outage { cause, at_least } => Redelivery::AfterOutage { cause, at_least },
            Self::Reject => Redelivery::Immediate,
        }
    }
}

impl Handler for Script {
    type Job = ();
    type Outcome = Scripted;

    async fn handle(&self, record: &Record, _: &(), _: Deadline) -> Scripted {
        match record.body.as_deref().unwrap() {
            "done" => Scripted::Done,
            "retry" => Scripted::Retry { at_least: Duration::ZERO },
            "retry after 600 s" => Scripted::Retry { at_least: Duration::from_secs(600) },
            "inventory down" => Scripted::Outage { cause: "inventory", at_least: Duration::ZERO },
            "inventory down, after 900 s" => {
                Scripted::Outage { cause: "inventory", at_least: Duration::from_secs(900) }
            }
            "payments down" => Scripted::Outage { cause: "payments", at_least: Duration::ZERO },
            "reject" => Scripted::Reject,
            "hang" => std::future::pending().await,
            other => panic!("{other}"),
        }
    }
}

/// The visibility failures of a batch, in the order in which they were reported.
#[derive(Debug, Default)]
struct Seen(RefCell<Vec<Failed>>);

/// The number of messages that were not changed, and why.
pub type Failed = (usize, Reason);

#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    UnknownQueue,
    NoReply,
    Refused(String),
    /// The error code of the service, if it replied.
    Call(Option<String>),
}

impl Observer<Script> for &Seen {
    type Scope = ();

    fn record_begun(&self, _: &Record, _: Option<&()>) {}

    fn batch_finished(&self, batch: BatchFinished<'_>) {
        let failures = batch.visibility_failures.iter().map(|failure| {
            let reason = match &failure.reason {
                FailureReason::UnknownQueue => Reason::UnknownQueue,
                FailureReason::NoReply => Reason::NoReply,
                FailureReason::Refused(code) => Reason::Refused(code.clone()),
                FailureReason::Call(error) => Reason::Call(error.code().map(str::to_owned)),
            };
            (failure.messages, reason)
        });
        self.0.borrow_mut().extend(failures);
    }
}

/// A batch that was processed.
#[derive(Debug)]
pub struct Processed {
    pub returned: Vec<String>,
    pub failures: Vec<Failed>,
    pub elapsed: Duration,
}

/// Processes a batch of an invocation that may take a minute.
pub async fn process(visibility: Visibility, records: Value) -> Processed {
    process_within(60, Duration::from_secs(1), visibility, records).await
}

/// Processes a batch that Lambda ends after `seconds`.
pub async fn process_within(
    seconds: u64,
    deadline_reserve: Duration,
    visibility: Visibility,
    records: Value,
) -> Processed {
    let seen = Seen::default();
    let settings = Settings { deadline_reserve, concurrency: 1_000, ..Settings::default() };
    let processor = BatchProcessor::new(Script, settings).with_visibility(visibility);
    let event = event(records, seconds);
    let begin = Instant::now();
    let response = processor.with_observer(&seen).handle(event).await.unwrap();
    let elapsed = begin.elapsed();
    let returned = response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
    Processed { returned, failures: seen.0.into_inner(), elapsed }
}

/// An event whose invocation ends after `seconds`.
pub fn event(records: Value, seconds: u64) -> LambdaEvent<Box<RawValue>> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
    let mut context = Context::default();
    context.deadline = u64::try_from(end.as_millis()).unwrap();
    LambdaEvent::new(to_raw_value(&json!({ "Records": records })).unwrap(), context)
}

/// Records of a standard queue: message ids and bodies.
pub fn standard<'a>(records: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    records.into_iter().map(|(id, body)| record(id, body, 1)).collect()
}

/// This number of records of a standard queue, all of which are returned with the plain back-off.
pub fn returned(number: usize) -> Value {
    (0..number).map(|number| record(&format!("m{number}"), "retry", 1)).collect()
}

/// Records of a FIFO queue: message ids, groups, bodies and receive counts.
pub fn fifo<'a>(records: impl IntoIterator<Item = (&'a str, &'a str, &'a str, u32)>) -> Value {
    let records = records.into_iter().map(|(id, group, body, receives)| {
        let mut record = record(id, body, receives);
        record["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:123456789012:orders.fifo");
        record["attributes"]["MessageGroupId"] = json!(group);
        record
    });
    records.collect()
}

/// A record of a standard queue.
pub fn record(id: &str, body: &str, receives: u32) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": format!("handle of {id}"),
        "body": body,
        "attributes": { "ApproximateReceiveCount": receives.to_string() },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
    })
}
