//! Batches: every record gets exactly one result, for any records and any outcomes.

use std::time::Duration;

use proptest::prelude::*;
use reservation_worker::call::{NotCalled, NotCalledCause, Service};
use reservation_worker::config::Config;
use reservation_worker::event::Event;
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use serde_json::{Value, json};
use sqs_batch::{Deadline, Handler, Record};
use tracing::Level;

use super::bodies::event as any_event;
use super::json;
use crate::fuzz::{self, event::shapes};
use crate::test_app::{BatchRun, context, processor, record, run};

/// A handler of failed payments whose error code is the number of an outcome.
struct Scripted;

impl Handler for Scripted {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, _: &Record, job: &Job, _: Deadline) -> Outcome {
        tokio::task::yield_now().await;
        let Event::PaymentFailed { error_code, .. } = &job.parsed.as_ref().unwrap().event else {
            unreachable!("all events are failed payments")
        };
        match error_code.as_deref().unwrap() {
            "0" => Outcome::Success,
            "1" => Outcome::Superseded("scripted".to_owned()),
            "2" => Outcome::Ignored("scripted"),
            "3" => Outcome::Retried {
                code: Reason::Panicked,
                reason: "scripted".to_owned(),
                retry_after: None,
                outage: None,
            },
            "4" => Outcome::Deferred(NotCalled {
                service: Service::Inventory,
                cause: NotCalledCause::BreakerOpen,
                reason: Reason::InventoryUnavailable,
            }),
            "5" => Outcome::Failed { code: Reason::CommitRejected, reason: "scripted".to_owned() },
            _ => panic!("scripted"),
        }
    }
}

const RETURNED: std::ops::RangeInclusive<usize> = 3..=6;
/// The outcomes that block a FIFO group: all that are returned, except the rejected one.
const BLOCKING: [usize; 3] = [3, 4, 6];

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
        let processor = processor(&config, Scripted, config.metrics.metrics(), "http://localhost:1");
        run(&processor, Level::INFO, event, context(Duration::ZERO)).await.unwrap()
    })
}

/// Message id, reservation, message group and outcome of each record. Message ids can repeat.
fn records() -> impl Strategy<Value = Vec<(u8, u8, u8, usize)>> {
    prop::collection::vec((0..30_u8, 0..4_u8, 0..4_u8, 0..=6_usize), 0..40)
}

fn event(records: &[(u8, u8, u8, usize)], queue: &str) -> Value {
    let records = records.iter().map(|(id, reservation, group, outcome)| {
        let (reservation_id, error_code) = (format!("r-{reservation}"), outcome.to_string());
        let body =
            json!({ "type": "payment.failed", "reservation_id": reservation_id, "error_code": error_code });
        let mut record = record(&format!("m-{id}"), body);
        record["attributes"]["MessageGroupId"] = json!(group.to_string());
        // Not an ARN, so that no visibility time-out is requested.
        record["eventSourceARN"] = json!(queue);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

proptest! {
    #[test]
    fn exactly_the_expected_ids_are_returned_once_each_in_the_order_of_the_batch(records in records(), fifo in any::<bool>()) {
        let run = run_batch(event(&records, if fifo { "queue.fifo" } else { "queue" }));
        let returned = run.returned();
        let summaries = run.log.iter().filter(|line| !line["outcome"].is_null());
        prop_assert_eq!(summaries.count(), records.len(), "one summary line per record");

        let must_return = |index: usize| {
            let (_, _, group, outcome) = records[index];
            let blocked = records[..index]
                .iter()
                .any(|(_, _, earlier_group, outcome)| fifo && *earlier_group == group && BLOCKING.contains(outcome));
            blocked || RETURNED.contains(&outcome)
        };
        let mut expected: Vec<String> = Vec::new();
        for (index, (id, ..)) in records.iter().enumerate() {
            let id = format!("m-{id}");
            if must_return(index) && !expected.contains(&id) {
                expected.push(id);
            }
        }
        prop_assert_eq!(returned, expected);
    }

    #[test]
    fn any_payload_is_refused_or_each_of_its_records_gets_a_result(payload in payload()) {
        fuzz::payload::check(payload.to_string().as_bytes());
    }
}

/// A list of records of one queue, or, in one of 16 cases, any JSON.
fn payload() -> impl Strategy<Value = Value> {
    let queue = prop::sample::select(&["arn:aws:sqs:ap-northeast-2:123456789012:q", "q.fifo"][..]);
    let records = queue.prop_flat_map(|queue| prop::collection::vec(sqs_record(queue), 0..8));
    prop_oneof![1 => json(), 15 => records.prop_map(|records| json!({ "Records": records }))]
}

/// A record as SQS sends it, except that about one of sixty members is missing and one of sixty is arbitrary JSON.
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
    let members = members.map(|(name, valid)| (name, prop_oneof![60 => valid, 1 => json()].boxed()));
    object(members, 60)
}

/// An object with these members, each of which is missing with a probability of 1 / `one_in`.
fn object<const N: usize>(
    members: [(&'static str, BoxedStrategy<Value>); N],
    one_in: u32,
) -> impl Strategy<Value = Value> {
    let members = members.map(|(name, value)| {
        let probability = 1.0 - 1.0 / f64::from(one_in);
        prop::option::weighted(probability, value).prop_map(move |value| Some((name.to_owned(), value?)))
    });
    Vec::from(members).prop_map(|members| members.into_iter().flatten().collect())
}

/// An event in any shape, or, in one of three cases, arbitrary text.
fn body() -> impl Strategy<Value = Value> {
    let event = (any_event(), any::<prop::sample::Index>()).prop_map(|(event, shape)| {
        let shapes = shapes(&event);
        json!(shapes[shape.index(shapes.len())])
    });
    let other = prop_oneof![any::<String>(), json().prop_map(|body| body.to_string())].prop_map(Value::from);
    prop_oneof![2 => event, 1 => other]
}
