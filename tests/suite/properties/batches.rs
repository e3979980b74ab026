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

use super::json;
use crate::desk::{Ran, context, record, run};

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

fn run_batch(event: Value) -> Ran {
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
    fn any_json_is_a_batch_or_an_error_and_never_acknowledged_unread(payload in json()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config::from_lookup(|name| match name {
            "INVENTORY_GRPC_ADDR" => Some("localhost:1".to_owned()),
            "RESERVATION_API_BASE" => Some("http://localhost:1".to_owned()),
            _ => None,
        })
        .unwrap();
        let metrics = Metrics::new(&config);
        let batch = Batch::new(&config, Scripted, Visibility::new(&config, metrics.clone()), metrics);
        let has_records = payload["Records"].as_array().is_some_and(|records| !records.is_empty());
        let ran = runtime.block_on(run(&batch, Level::INFO, payload, context(Duration::ZERO)));
        prop_assert!(!has_records || ran.is_err(), "records without ids are no batch");
    }
}
