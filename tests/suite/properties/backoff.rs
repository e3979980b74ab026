//! Back-off: what the queue is asked for stays within the contract's bounds.

use std::time::Duration;

use proptest::prelude::*;
use reservation_worker::breaker::Open;
use reservation_worker::outcome::{Deferral, Outcome};
use reservation_worker::reason::Reason;
use reservation_worker::record::Record;
use reservation_worker::retry::Deadline;
use reservation_worker::telemetry::call::Service;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use reservation_worker_local::Services;
use tokio::sync::OnceCell;

use crate::test_app::{config, sqs_client};

const LONGEST: f64 = 12.0 * 3_600.0 - 15.0 * 60.0;

#[derive(Debug, Clone)]
struct Case {
    base_ms: u64,
    max_ms: u64,
    max_retries: u32,
    /// Receive count, outcome, and what that asks for at least.
    records: Vec<(u32, Outcome, Duration)>,
}

fn case() -> impl Strategy<Value = Case> {
    let wait = (0..50_000_000_u64).prop_map(Duration::from_millis);
    let outcome = (0..5_u8, wait).prop_map(|(kind, wait)| {
        let (code, reason) = (Reason::InventoryUnavailable, || "scripted".to_owned());
        match kind {
            0 => (Outcome::Retried { code, reason: reason(), retry_after: None }, Duration::ZERO),
            1 => (Outcome::Retried { code, reason: reason(), retry_after: Some(wait) }, wait),
            2 => {
                let open = Open { service: Service::Inventory, left: wait };
                (Outcome::Deferred(Deferral::BreakerOpen(open)), wait)
            }
            3 => (Outcome::Deferred(Deferral::GroupBlocked), Duration::ZERO),
            _ => (Outcome::Failed { code, reason: reason() }, Duration::ZERO),
        }
    });
    let receives = prop_oneof![1..8_u32, any::<u32>()];
    let record = (receives, outcome).prop_map(|(receives, (outcome, least))| (receives, outcome, least));
    let milliseconds = || prop_oneof![1..5_000_u64, 1..=43_200_000_u64];
    (milliseconds(), milliseconds(), 1..=1_000_u32, prop::collection::vec(record, 1..25))
        .prop_map(|(base_ms, max_ms, max_retries, records)| Case { base_ms, max_ms, max_retries, records })
}

fn record(place: usize, receive_count: u32) -> Record {
    Record {
        message_id: format!("m-{place}"),
        receipt_handle: Some(place.to_string()),
        queue_arn: Some("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events".to_owned()),
        body: None,
        receive_count,
        fifo_group: None,
        sent: None,
        traceparent: None,
        tracestate: None,
        xray_header: None,
    }
}

proptest! {
    #[test]
    fn a_visibility_time_out_is_within_its_bounds(case in case()) {
        let asked = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let services = Services::start().await.unwrap();
            let config = config(&services, &[
                ("BACKOFF_BASE_MS", &case.base_ms.to_string()),
                ("BACKOFF_MAX_MS", &case.max_ms.to_string()),
                ("MAX_RETRIES", &case.max_retries.to_string()),
            ]);
            let client = OnceCell::new_with(Some(sqs_client(services.visibility().endpoint())));
            let records: Vec<_> = case.records.iter().enumerate().map(|(place, (receives, ..))| record(place, *receives)).collect();
            let outcomes: Vec<_> = case.records.iter().map(|(_, outcome, _)| outcome.clone()).collect();
            Visibility::with(&config, Metrics::new(&config), client).keep(&records, &outcomes, Deadline::NONE).await;
            services.visibility().take()
        });
        prop_assert!(asked.iter().all(|change| change.entries.len() <= 10));
        let mut seen = 0;
        for entry in asked.into_iter().flat_map(|change| change.entries) {
            let (receives, outcome, least) = &case.records[entry.receipt_handle.parse::<usize>().unwrap()];
            seen += 1;
            let seconds = entry.visibility_timeout as f64;
            if *receives >= case.max_retries || matches!(outcome, Outcome::Failed { .. }) {
                prop_assert_eq!(seconds, 0.0, "bound for the dead-letter queue");
                continue;
            }
            // Contract section 6, in floating point.
            let doubled = case.base_ms as f64 * 2_f64.powi(i32::try_from(*receives - 1).unwrap_or(i32::MAX));
            let backoff = (doubled.min(case.max_ms as f64) / 1_000.0).max(least.as_secs_f64()).ceil();
            prop_assert!(seconds >= backoff.min(LONGEST), "{seconds} s, not {backoff}");
            prop_assert!(seconds <= (backoff * 1.2).round().min(LONGEST), "{seconds} s, and {backoff} is the base");
        }
        prop_assert_eq!(seen, case.records.len());
    }
}
