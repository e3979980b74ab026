//! The Lambda payload: it is refused before any work, or every record is settled once.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::config::BehaviorVersion;
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::batch::{Batch, Handler, Job};
use reservation_worker::config::Config;
use reservation_worker::event;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use sqs_batch::Record;
use sqs_batch::Deadline;
use reservation_worker::telemetry::logs;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::{Reading, Worker};
use rustls::RootCertStore;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tracing::Level;
use tracing::instrument::WithSubscriber;

/// The default.
const MAX_RETRIES: u32 = 5;

/// The input is what the Runtime API hands out.
pub fn check(payload: &[u8]) {
    // The Lambda runtime itself refuses what is not JSON.
    let Ok(payload) = serde_json::from_slice::<Box<RawValue>>(payload) else { return };
    let event = serde_json::from_str::<SqsEvent>(payload.get());
    let log = Log::default();
    let writer = log.clone();
    let handled = STAND.with(|(runtime, batch)| {
        let handled = batch.handle(LambdaEvent::new(payload, Context::default()));
        runtime.block_on(handled.with_subscriber(logs::subscriber(Level::INFO, move || writer.clone())))
    });
    let records = event.ok().map(|event| event.records);
    match handled {
        Err(error) => {
            let error = error.to_string();
            let is_ours = |char: char| char.is_ascii_alphanumeric() || " ,.:[]".contains(char);
            assert!(error.len() < 100 && error.chars().all(is_ours), "{error:?}");
            assert_eq!(log.text(), "", "a refused payload was worked on");
            assert!(
                records.is_none_or(|records| !records.iter().all(is_usable)),
                "{error}: refused for nothing"
            );
        }
        Ok(response) => {
            let records = records.unwrap();
            assert!(records.iter().all(is_usable), "a record that could not be returned was worked on");
            let returned: Vec<_> =
                response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
            assert_eq!(returned, to_return(&records));
            check_log(&log.text(), records.iter().map(id).collect());
        }
    }
}

fn id(record: &SqsMessage) -> &str {
    record.message_id.as_deref().unwrap_or_default()
}

/// Whether the queue can be told of it.
fn is_usable(record: &SqsMessage) -> bool {
    !id(record).is_empty() && record.event_source.as_deref().is_none_or(|source| source == "aws:sqs")
}

/// What contract section 5 wants returned: each id once, in order, and after one that is tried again the rest
/// of its FIFO group.
fn to_return(records: &[SqsMessage]) -> Vec<&str> {
    let (mut blocked, mut returned) = (HashSet::new(), Vec::new());
    for record in records {
        let attribute = |name| record.attributes.get(name).map(String::as_str);
        let is_fifo = record.event_source_arn.as_deref().is_some_and(|arn| arn.ends_with(".fifo"));
        let group = is_fifo.then(|| attribute("MessageGroupId").unwrap_or_default());
        if is_refused(record.body.as_deref()) || group.is_some_and(|group| blocked.contains(group)) {
            let receives = attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok());
            let comes_again = receives.unwrap_or(1) < MAX_RETRIES;
            blocked.extend(group.filter(|_| comes_again));
            returned.push(id(record));
        }
    }
    let mut named = HashSet::new();
    returned.retain(|id| named.insert(*id));
    returned
}

/// One summary line a record, of its message and no other, whatever stands in it.
fn check_log(log: &str, mut ids: Vec<&str>) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summaries = lines.iter().filter(|line| !line["outcome"].is_null());
    let mut told: Vec<_> = summaries.map(|line| line["message_id"].as_str().unwrap()).collect();
    told.sort_unstable();
    ids.sort_unstable();
    assert_eq!(told, ids);
}

/// Whether its record must come back: it cannot be understood, or its seats cannot be settled.
fn is_refused(body: Option<&str>) -> bool {
    event::parse(body).map_or(true, |parsed| !is_settled(parsed.event.hold().reservation_id.as_str()))
}

/// What the services say, in the place of which this stands.
fn is_settled(reservation_id: &str) -> bool {
    reservation_id.len().is_multiple_of(2)
}

/// The function's own handler, but for the services.
struct Offline(Worker);

impl Handler for Offline {
    type Job = Reading;

    fn read(&self, record: &Record) -> Reading {
        self.0.read(record)
    }

    async fn work(&self, reading: &Reading, deadline: Deadline) -> Outcome {
        match reading.lane() {
            // Not understood: no service is asked.
            None => self.0.work(reading, deadline).await,
            Some((reservation_id, _)) if is_settled(reservation_id) => Outcome::Success,
            Some(_) => Outcome::Failed { code: Reason::CommitRejected, reason: "odd".to_owned() },
        }
    }
}

thread_local! {
    static STAND: (Runtime, Batch<Offline>) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let config = Config::from_lookup(|variable| match variable {
            "INVENTORY_GRPC_ADDR" => Some("localhost:1".to_owned()),
            "RESERVATION_API_BASE" => Some("http://localhost:1".to_owned()),
            _ => None,
        });
        let config = config.unwrap();
        let metrics = Metrics::new(&config);
        // Without a region it fails before it connects, and the response is the same: contract section 6.
        let sqs = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let sqs = OnceCell::new_with(Some(aws_sdk_sqs::Client::from_conf(sqs)));
        let worker = Worker::new(&config, RootCertStore::empty(), metrics.clone()).unwrap();
        let visibility = Visibility::with(&config, metrics.clone(), sqs);
        let batch = Batch::new(&config, Offline(worker), visibility, metrics);
        drop(_entered);
        (runtime, batch)
    };
}

/// Keeps log lines.
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
