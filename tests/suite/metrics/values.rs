//! Values: percentiles are preserved, and requests stay within CloudWatch's limits.

use std::time::Duration;

use reservation_worker::call::{AttemptOutcome, Service};
use reservation_worker::event::EventType;
use reservation_worker::outcome::OutcomeLabel;
use reservation_worker::telemetry::metrics::RecordMetrics;
use sqs_batch::ClockReading;
use strum::VariantArray;

use super::{Sent, sent};
use crate::test_app::TestApp;

pub fn record(event_type: EventType, duration: Duration) -> RecordMetrics {
    let event_type = Some(event_type);
    RecordMetrics {
        event_type,
        outcome: OutcomeLabel::Success,
        duration: Some(duration),
        age: Some(duration),
        lateness: Some(duration),
        reason: None,
        is_dead_letter: false,
    }
}

/// A percentile of these values and their counts. The fraction is between 0 and 1.
fn percentile(sorted: &[(f64, f64)], fraction: f64) -> f64 {
    let all: f64 = sorted.iter().map(|(_, count)| count).sum();
    let mut remaining = (all * fraction).ceil();
    for (value, count) in sorted {
        remaining -= count;
        if remaining <= 0.0 {
            return *value;
        }
    }
    panic!("no values");
}

#[tokio::test]
async fn percentiles_of_10_000_latencies_are_preserved() {
    let app = TestApp::new().await;
    // From 1 ms to 10 s, evenly distributed on a logarithmic scale.
    let mut latencies: Vec<_> = (0..10_000).map(|_| 10_f64.powf(fastrand::f64() * 4.0 - 3.0)).collect();
    app.metrics().batch_begun(latencies.len());
    for latency in &latencies {
        app.metrics().record_finished(record(EventType::PaymentApproved, Duration::from_secs_f64(*latency)));
    }
    latencies.sort_by(f64::total_cmp);
    let latencies: Vec<_> = latencies.into_iter().map(|latency| (latency, 1.0)).collect();

    let sent = sent(&app).await;

    for dimensions in [&[][..], &[("type", "payment.approved")]] {
        let arrived = sent.values("worker_latency_seconds", dimensions);
        assert_eq!(sent.count("worker_latency_seconds", dimensions), 10_000.0);
        for fraction in [0.5, 0.95, 0.99] {
            let (before, after) = (percentile(&latencies, fraction), percentile(&arrived, fraction));
            assert!(
                (after / before - 1.0).abs() < 0.01,
                "p{}: {before} s became {after} s",
                fraction * 100.0
            );
        }
    }
}

#[tokio::test]
async fn requests_stay_within_cloudwatchs_limits_for_any_number_of_values() {
    let app = TestApp::new().await;
    app.metrics().batch_begun(10_000);
    let mut values = 0.0;
    for micros in (1_000..1_000_000).step_by(250).chain((1_000_000..10_000_000).step_by(25_000)) {
        let worked = Duration::from_micros(micros);
        for &event_type in EventType::VARIANTS {
            for &outcome in OutcomeLabel::VARIANTS {
                app.metrics().record_finished(RecordMetrics { outcome, ..record(event_type, worked) });
            }
        }
        for (service, outcome) in Service::VARIANTS
            .iter()
            .flat_map(|service| AttemptOutcome::VARIANTS.iter().map(|outcome| (*service, *outcome)))
        {
            app.metrics().attempt_ended(service, outcome, worked);
        }
        values += (EventType::VARIANTS.len() * OutcomeLabel::VARIANTS.len()) as f64;
    }

    assert_eq!(app.after_response(ClockReading::now()).await, "");

    // The CloudWatch server of the test rejects a request with too many bytes, data, or values per datum.
    let puts = app.services.cloudwatch().take();
    assert_eq!(app.services.cloudwatch().calls(), puts.len());
    assert!(puts.len() > 1);
    assert!(
        puts.iter().all(|put| put.sent_bytes * 2 < put.unpacked_bytes),
        "the requests are not compressed"
    );
    let largest = puts.iter().map(|put| put.unpacked_bytes).max().unwrap();
    assert!(largest > 500_000, "{largest} bytes: the requests are smaller than necessary");
    let sent = Sent::of(puts);
    assert_eq!(sent.count("worker_latency_seconds", &[]), values);
    assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), values / 7.0);
}

#[tokio::test]
async fn equal_values_are_sent_once_with_their_count() {
    let app = TestApp::new().await;
    for micros in [1_234_000, 1_234_999, 1_233_501, 2_000_000] {
        app.metrics().record_finished(record(EventType::PaymentFailed, Duration::from_micros(micros)));
    }
    let sent = sent(&app).await;
    assert_eq!(sent.values("worker_latency_seconds", &[]), [(1.23, 3.0), (2.0, 1.0)]);
    assert_eq!(sent.values("worker_event_age_seconds", &[]), [(1.23, 3.0), (2.0, 1.0)]);
    assert_eq!(sent.values("worker_event_lateness_seconds", &[]), [(1.23, 3.0), (2.0, 1.0)]);
}
