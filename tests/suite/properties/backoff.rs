//! Back-off: the visibility time-outs requested from the queue stay within the contract's bounds.

use std::time::Duration;

use proptest::prelude::*;
use reservation_worker::call::{NotCalled, NotCalledCause, Service};
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker_local::Services;
use serde_json::json;
use sqs_batch::{Deadline, Handler, Record};
use tracing::Level;

use crate::test_app::{self, config, context, processor, run};

/// The longest time-out in seconds: the maximum of SQS (12 hours) less the longest invocation (15 minutes).
const LONGEST_SECONDS: f64 = 12.0 * 3_600.0 - 15.0 * 60.0;

#[derive(Debug, Clone)]
struct Case {
    base_ms: u64,
    max_ms: u64,
    max_retries: u32,
    /// Receive count, outcome, and the shortest wait that the outcome allows.
    records: Vec<(u32, Outcome, Duration)>,
}

fn case() -> impl Strategy<Value = Case> {
    let wait = (0..50_000_000_u64).prop_map(Duration::from_millis);
    let outcome = (0..5_u8, wait).prop_map(|(kind, wait)| {
        let (code, reason) = (Reason::InventoryUnavailable, || "scripted".to_owned());
        match kind {
            0 => {
                (Outcome::Retried { code, reason: reason(), retry_after: None, outage: None }, Duration::ZERO)
            }
            1 => (Outcome::Retried { code, reason: reason(), retry_after: Some(wait), outage: None }, wait),
            2 => {
                let outage = Some(Service::Inventory);
                (Outcome::Retried { code, reason: reason(), retry_after: Some(wait), outage }, wait)
            }
            3 => {
                let cause = NotCalledCause::BreakerOpen;
                let open = NotCalled { service: Service::Inventory, cause, reason: code };
                (Outcome::Deferred(open), Duration::ZERO)
            }
            _ => (Outcome::Failed { code, reason: reason() }, Duration::ZERO),
        }
    });
    let receives = prop_oneof![1..8_u32, 1..=u32::MAX];
    let record = (receives, outcome).prop_map(|(receives, (outcome, minimum))| (receives, outcome, minimum));
    let milliseconds = || prop_oneof![1..5_000_u64, 1..=43_200_000_u64];
    (milliseconds(), milliseconds(), 1..=1_000_u32, prop::collection::vec(record, 1..25)).prop_map(
        |(one, other, max_retries, records)| Case {
            base_ms: one.min(other),
            max_ms: one.max(other),
            max_retries,
            records,
        },
    )
}

/// Returns for each record the outcome at the index that is its body.
struct Scripted(Vec<Outcome>);

impl Handler for Scripted {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, record: &Record, _: &Job, _: Deadline) -> Outcome {
        self.0[record.body.as_ref().unwrap().parse::<usize>().unwrap()].clone()
    }
}

proptest! {
    #[test]
    fn a_visibility_time_out_is_within_its_bounds(case in case()) {
        let changes = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let services = Services::start().await.unwrap();
            let config = config(&services, &[
                ("BACKOFF_BASE_MS", &case.base_ms.to_string()),
                ("BACKOFF_MAX_MS", &case.max_ms.to_string()),
                ("MAX_RETRIES", &case.max_retries.to_string()),
            ]);
            let records = case.records.iter().enumerate().map(|(index, (receives, ..))| {
                let mut record = test_app::record(&format!("m-{index}"), json!(index));
                record["receiptHandle"] = json!(index.to_string());
                record["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
                record
            });
            let event = json!({ "Records": records.collect::<Vec<_>>() });
            let outcomes = case.records.iter().map(|(_, outcome, _)| outcome.clone()).collect();
            let endpoint = services.visibility().endpoint();
            let processor = processor(&config, Scripted(outcomes), config.metrics.metrics(), endpoint);
            run(&processor, Level::INFO, event, context(Duration::ZERO)).await.unwrap();
            services.visibility().take()
        });
        prop_assert!(changes.iter().all(|change| change.entries.len() <= 10));
        let mut seen = 0;
        for entry in changes.into_iter().flat_map(|change| change.entries) {
            let (receives, outcome, minimum) = &case.records[entry.receipt_handle.parse::<usize>().unwrap()];
            seen += 1;
            let seconds = entry.visibility_timeout as f64;
            if *receives >= case.max_retries || matches!(outcome, Outcome::Failed { .. }) {
                prop_assert_eq!(seconds, 0.0, "the record goes to the dead-letter queue");
                continue;
            }
            // The formula of contract section 6 in floating-point numbers.
            let doubled = case.base_ms as f64 * 2_f64.powi(i32::try_from(*receives - 1).unwrap_or(i32::MAX));
            let usual = doubled.min(case.max_ms as f64) / 1_000.0;
            let waits_for_service =
                matches!(outcome, Outcome::Deferred(_) | Outcome::Retried { outage: Some(_), .. });
            let outage = [1.0, 30.0, 600.0][(*receives as usize - 1).min(2)];
            let backoff = if waits_for_service { outage } else { usual }.max(minimum.as_secs_f64());
            let shortest = backoff.floor().max(minimum.as_secs_f64().ceil()).min(LONGEST_SECONDS);
            let longest = (backoff * 1.2).ceil().max(shortest).min(LONGEST_SECONDS);
            prop_assert!((shortest..=longest).contains(&seconds), "{seconds} s for a back-off of {backoff} s");
        }
        prop_assert_eq!(seen, case.records.len());
    }
}
