//! Batches: every record is settled once, whatever the records are and however they end.

use std::time::Duration;

use proptest::prelude::*;
use reservation_worker::batch::{Batch, Handler, Job};
use reservation_worker::config::Config;
use reservation_worker::outcome::{Deferral, Outcome};
use reservation_worker::reason::Reason;
use reservation_worker::record::Record;
use reservation_worker::retry::Deadline;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use serde_json::{Value, json};
use tracing::{Level, Span, error_span};

use super::bodies::event as any_event;
use super::json;
use crate::fuzz::{self, event::shapes};
use crate::test_app::{BatchRun, context, record, run};

/// The body is a lane and the number of an outcome.
struct Scripted;

struct Work {
    lane: String,
    outcome: usize,
}

impl Handler for Scripted {
    type Job = Work;

    fn read(&self, record: &Record) -> Work {
        let (lane, outcome) = record.body.as_deref().unwrap().split_once(' ').unwrap();
        Work { lane: lane.to_owned(), outcome: outcome.parse().unwrap() }
    }

    async fn work(&self, work: &Work, _: Deadline) -> Outcome {
        tokio::task::yield_now().await;
        match work.outcome {
            0 => Outcome::Success,
            1 => Outcome::Superseded("scripted".to_owned()),
            2 => Outcome::Ignored("scripted"),
            3 => {
                Outcome::Retried { code: Reason::Panicked, reason: "scripted".to_owned(), retry_after: None }
            }
            4 => Outcome::Deferred(Deferral::NotStarted),
            5 => Outcome::Failed { code: Reason::CommitRejected, reason: "scripted".to_owned() },
            _ => panic!("scripted"),
        }
    }
}

impl Job for Work {
    type Identity = usize;

    fn lane(&self) -> Option<(&str, &usize)> {
        Some((&self.lane, &self.outcome))
    }

    fn span(&self, record: &Record) -> Span {
        error_span!("record", message_id = record.message_id)
    }
}

const RETURNED: std::ops::RangeInclusive<usize> = 3..=6;

fn run_batch(event: Value) -> BatchRun {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let variables = |name: &str| match name {
        "INVENTORY_GRPC_ADDR" => Some("localhost:1".to_owned()),
        "RESERVATION_API_BASE" => Some("http://localhost:1".to_owned()),
        "WORKER_CONCURRENCY" => Some("3".to_owned()),
        _ => None,
    };
    let config = Config::from_lookup(variables).unwrap();
    runtime.block_on(async {
        let metrics = Metrics::new(&config);
        let batch = Batch::new(&config, Scripted, Visibility::new(&config, metrics.clone()), metrics);
        run(&batch, Level::INFO, event, context(Duration::ZERO)).await.unwrap()
    })
}

/// Message id, lane, group, outcome; ids may come twice.
fn records() -> impl Strategy<Value = Vec<(u8, u8, u8, usize)>> {
    prop::collection::vec((0..30_u8, 0..4_u8, 0..4_u8, 0..=6_usize), 0..40)
}

fn event(records: &[(u8, u8, u8, usize)], queue: &str) -> Value {
    let records = records.iter().map(|(id, lane, group, outcome)| {
        let mut record = record(&format!("m-{id}"), json!(format!("{lane} {outcome}")));
        record["attributes"]["MessageGroupId"] = json!(group.to_string());
        // Not an ARN: the queue is not asked for anything here.
        record["eventSourceARN"] = json!(queue);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

proptest! {
    #[test]
    fn every_returned_id_is_of_the_batch_once_and_in_its_order(records in records(), fifo in any::<bool>()) {
        let ran = run_batch(event(&records, if fifo { "queue.fifo" } else { "queue" }));
        let returned = ran.returned();
        let summaries = ran.log.iter().filter(|line| !line["outcome"].is_null());
        prop_assert_eq!(summaries.count(), records.len(), "one summary line a record");

        let must_return = |place: usize| {
            let (_, _, group, outcome) = records[place];
            let blocked = records[..place]
                .iter()
                .any(|(_, _, before, outcome)| fifo && *before == group && RETURNED.contains(outcome));
            blocked || RETURNED.contains(&outcome)
        };
        let mut expected: Vec<String> = Vec::new();
        for (place, (id, ..)) in records.iter().enumerate() {
            let id = format!("m-{id}");
            if must_return(place) && !expected.contains(&id) {
                expected.push(id);
            }
        }
        prop_assert_eq!(returned, expected);
    }

    #[test]
    fn any_payload_is_refused_or_each_of_its_records_is_settled(payload in payload()) {
        fuzz::payload::check(payload.to_string().as_bytes());
    }
}

/// Any JSON now and then; mostly a list of records of one queue.
fn payload() -> impl Strategy<Value = Value> {
    let queue = prop::sample::select(&["arn:aws:sqs:ap-northeast-2:123456789012:q", "q.fifo"][..]);
    let records = queue.prop_flat_map(|queue| prop::collection::vec(sqs_record(queue), 0..8));
    prop_oneof![1 => json(), 15 => records.prop_map(|records| json!({ "Records": records }))]
}

/// As SQS sends it, but that one member in sixty is missing, and one is anything.
fn sqs_record(queue: &'static str) -> impl Strategy<Value = Value> {
    let text = |texts: &'static [&'static str]| prop::sample::select(texts).prop_map(Value::from).boxed();
    let receives = prop_oneof![4 => 1..8_u64, 1 => any::<u64>()].prop_map(|receives| receives.to_string());
    let attributes = [
        ("ApproximateReceiveCount", receives.prop_map(Value::from).boxed()),
        ("MessageGroupId", text(&["g-1", "g-2"])),
        ("SentTimestamp", any::<u64>().prop_map(|sent| json!(sent.to_string())).boxed()),
    ];
    let members = [
        (
            "messageId",
            prop_oneof![80 => "[m\"\n][1-5]", 1 => Just(String::new())].prop_map(Value::from).boxed(),
        ),
        ("receiptHandle", text(&["AQEB", ""])),
        ("body", body().boxed()),
        ("attributes", object(attributes, 4).boxed()),
        ("messageAttributes", Just(json!({})).boxed()),
        ("eventSource", prop_oneof![80 => text(&["aws:sqs"]), 1 => text(&["aws:s3", ""])].boxed()),
        ("eventSourceARN", Just(json!(queue)).boxed()),
    ];
    let members = members.map(|(name, right)| (name, prop_oneof![60 => right, 1 => json()].boxed()));
    object(members, 60)
}

/// Of these members; one in so many is missing.
fn object<const N: usize>(
    members: [(&'static str, BoxedStrategy<Value>); N],
    one_in: u32,
) -> impl Strategy<Value = Value> {
    let members = members.map(|(name, value)| {
        let is_there = 1.0 - 1.0 / f64::from(one_in);
        prop::option::weighted(is_there, value).prop_map(move |value| Some((name.to_owned(), value?)))
    });
    Vec::from(members).prop_map(|members| members.into_iter().flatten().collect())
}

/// An event in any shape, or what is none.
fn body() -> impl Strategy<Value = Value> {
    let event = (any_event(), any::<prop::sample::Index>()).prop_map(|(event, shape)| {
        let shapes = shapes(&event);
        json!(shapes[shape.index(shapes.len())])
    });
    let other = prop_oneof![any::<String>(), json().prop_map(|body| body.to_string())].prop_map(Value::from);
    prop_oneof![2 => event, 1 => other]
}
