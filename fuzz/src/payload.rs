//! The payload of an invocation. It is either rejected before any work, or each record has one outcome.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::config::BehaviorVersion;
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::config::Config;
use reservation_worker::event;
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::telemetry::batch::BatchTelemetry;
use reservation_worker::telemetry::logs;
use reservation_worker::worker::Worker;
use rustls::RootCertStore;
use serde_json::Value;
use serde_json::value::RawValue;
use sqs_batch::visibility::Visibility;
use sqs_batch::{BatchProcessor, Deadline, Handler, Job as _, Record};
use tokio::runtime::Runtime;
use tracing::Level;
use tracing::instrument::WithSubscriber;

/// The default of the variable.
const MAX_RETRIES: u32 = 5;

/// Checks a payload from the Runtime API.
pub fn check(payload: &[u8]) {
    // The Lambda runtime rejects a payload that is not JSON.
    let Ok(payload) = serde_json::from_slice::<Box<RawValue>>(payload) else { return };
    let event = serde_json::from_str::<SqsEvent>(payload.get());
    let log = Log::default();
    let writer = log.clone();
    let result = FIXTURE.with(|(runtime, processor)| {
        let handling = processor.handle(LambdaEvent::new(payload, Context::default()));
        runtime.block_on(handling.with_subscriber(logs::subscriber(Level::INFO, move || writer.clone())))
    });
    let records = event.ok().map(|event| event.records);
    match result {
        Err(error) => {
            let error = error.to_string();
            let is_expected = |char: char| char.is_ascii_alphanumeric() || " ,.:[]".contains(char);
            assert!(error.len() < 100 && error.chars().all(is_expected), "{error:?}");
            assert_eq!(log.text(), "", "work was done for a rejected payload");
            assert!(
                records.is_none_or(|records| !records.iter().all(is_valid)),
                "{error}: a valid payload was rejected"
            );
        }
        Ok(response) => {
            let records = records.unwrap();
            assert!(records.iter().all(is_valid), "a payload with an invalid record was accepted");
            let returned: Vec<_> =
                response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
            assert_eq!(returned, expected_failures(&records));
            check_log(&log.text(), records.iter().map(id).collect());
        }
    }
}

fn id(record: &SqsMessage) -> &str {
    record.message_id.as_deref().unwrap_or_default()
}

/// Whether the record comes from SQS and can be listed in the response.
fn is_valid(record: &SqsMessage) -> bool {
    !id(record).is_empty() && record.event_source.as_deref().is_none_or(|source| source == "aws:sqs")
}

/// The ids that must be returned by contract section 5: each id once, in the order of the batch, and after a
/// record that will be redelivered the rest of its FIFO group.
fn expected_failures(records: &[SqsMessage]) -> Vec<&str> {
    let (mut blocked, mut returned) = (HashSet::new(), Vec::new());
    for record in records {
        let attribute = |name| record.attributes.get(name).map(String::as_str);
        let is_fifo = record.event_source_arn.as_deref().is_some_and(|arn| arn.ends_with(".fifo"));
        let group = is_fifo.then(|| attribute("MessageGroupId").unwrap_or_default());
        let result = expected_result(record.body.as_deref());
        let is_blocked = group.is_some_and(|group| blocked.contains(group));
        if is_blocked || result != Expected::Accepted {
            let receives = attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok());
            let is_redelivered = receives.unwrap_or(1) < MAX_RETRIES;
            blocked.extend(group.filter(|_| is_redelivered && result == Expected::Retried));
            returned.push(id(record));
        }
    }
    let mut listed = HashSet::new();
    returned.retain(|id| listed.insert(*id));
    returned
}

/// Checks that each record has one summary line with its message id, whatever the id contains.
fn check_log(log: &str, mut ids: Vec<&str>) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summaries = lines.iter().filter(|line| !line["outcome"].is_null());
    let mut logged: Vec<_> = summaries.map(|line| line["message_id"].as_str().unwrap()).collect();
    logged.sort_unstable();
    ids.sort_unstable();
    assert_eq!(logged, ids);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Accepted,
    Retried,
    Rejected,
}

/// The result of a record that is handled. An invalid body is rejected.
fn expected_result(body: Option<&str>) -> Expected {
    event::parse(body).map_or(Expected::Rejected, |parsed| match parsed.event.hold() {
        Some(hold) => result_of(hold.reservation_id.as_str()),
        None => Expected::Accepted,
    })
}

/// A substitute for the services, which decides by the length of the reservation id.
fn result_of(reservation_id: &str) -> Expected {
    match reservation_id.len() % 4 {
        0 | 2 => Expected::Accepted,
        1 => Expected::Retried,
        _ => Expected::Rejected,
    }
}

/// The handler of the function, without calls to the services.
struct Offline(Worker);

impl Handler for Offline {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, record: &Record, job: &Job, deadline: Deadline) -> Outcome {
        match job.key() {
            // An invalid body leads to no call, so the worker itself can handle it.
            None => self.0.handle(record, job, deadline).await,
            Some(reservation_id) => {
                let (code, reason) = (Reason::CommitRejected, "scripted".to_owned());
                match result_of(reservation_id) {
                    Expected::Accepted => Outcome::Success,
                    Expected::Retried => Outcome::Retried { code, reason, retry_after: None, outage: None },
                    Expected::Rejected => Outcome::Failed { code, reason },
                }
            }
        }
    }
}

thread_local! {
    static FIXTURE: (Runtime, BatchProcessor<Offline, BatchTelemetry>) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let config = Config::from_lookup(|variable| match variable {
            "INVENTORY_GRPC_ADDR" => Some("localhost:1".to_owned()),
            "RESERVATION_API_BASE" => Some("http://localhost:1".to_owned()),
            _ => None,
        });
        let config = config.unwrap();
        let metrics = config.metrics.metrics();
        // Without a region every call fails before it connects, and the response stays the same (contract section 6).
        let sqs = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let sqs = aws_sdk_sqs::Client::from_conf(sqs);
        let worker =
            Worker::new(&config.reservation_api, &config.inventory, RootCertStore::empty(), metrics.clone());
        let processor = BatchProcessor::new(Offline(worker.unwrap()), config.batch)
            .with_observer(BatchTelemetry::new(metrics))
            .with_visibility(Visibility::new(config.backoff, move |_| std::future::ready(sqs.clone())));
        drop(_entered);
        (runtime, processor)
    };
}

/// Collects the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
