//! Values: percentiles survive, and requests stay within CloudWatch's limits.

use std::time::Duration;

use reservation_worker::event::EventType;
use reservation_worker::outcome::Label;
use reservation_worker::telemetry::call::{CallOutcome, Service};
use reservation_worker::telemetry::metrics::{ClockReading, RecordEnded};

use super::{Sent, sent};
use crate::test_app::TestApp;

pub fn record(event_type: EventType, worked: Duration) -> RecordEnded {
    let event_type = Some(event_type);
    RecordEnded {
        event_type,
        outcome: Label::Success,
        worked: Some(worked),
        age: Some(worked),
        dead_letter: None,
    }
}

/// The value below which this part of the values is.
fn percentile(sorted: &[(f64, f64)], part: f64) -> f64 {
    let all: f64 = sorted.iter().map(|(_, count)| count).sum();
    let mut left = (all * part).ceil();
    for (value, count) in sorted {
        left -= count;
        if left <= 0.0 {
            return *value;
        }
    }
    panic!("no values");
}

#[tokio::test]
async fn percentiles_of_10_000_latencies_survive() {
    let app = TestApp::new().await;
    // From 1 ms to 10 s, as many in each decade.
    let mut latencies: Vec<_> = (0..10_000).map(|_| 10_f64.powf(fastrand::f64() * 4.0 - 3.0)).collect();
    app.metrics().batch_begun(latencies.len());
    for latency in &latencies {
        app.metrics().record_ended(record(EventType::PaymentApproved, Duration::from_secs_f64(*latency)));
    }
    latencies.sort_by(f64::total_cmp);
    let latencies: Vec<_> = latencies.into_iter().map(|latency| (latency, 1.0)).collect();

    let sent = sent(&app).await;

    for dimensions in [&[][..], &[("type", "payment.approved")]] {
        let arrived = sent.values("worker_latency_seconds", dimensions);
        assert_eq!(sent.count("worker_latency_seconds", dimensions), 10_000.0);
        for part in [0.5, 0.95, 0.99] {
            let (was, is) = (percentile(&latencies, part), percentile(&arrived, part));
            assert!((is / was - 1.0).abs() < 0.01, "p{}: {was} s became {is} s", part * 100.0);
        }
    }
}

#[tokio::test]
async fn whatever_is_recorded_goes_in_requests_that_cloudwatch_takes() {
    let app = TestApp::new().await;
    app.metrics().batch_begun(10_000);
    let mut values = 0.0;
    for micros in (1_000..1_000_000).step_by(250).chain((1_000_000..10_000_000).step_by(25_000)) {
        let worked = Duration::from_micros(micros);
        for event_type in EventType::ALL {
            for outcome in Label::ALL {
                app.metrics().record_ended(RecordEnded { outcome, ..record(event_type, worked) });
            }
        }
        for (service, outcome) in
            Service::ALL.into_iter().flat_map(|service| CallOutcome::ALL.map(|outcome| (service, outcome)))
        {
            app.metrics().call_ended(service, outcome, worked);
        }
        values += 28.0;
    }

    assert_eq!(app.after_response(ClockReading::now()).await, "");

    // It would have refused any that is too large: bytes, data, or values of a datum.
    let puts = app.services.cloudwatch().take();
    assert_eq!(app.services.cloudwatch().calls(), puts.len());
    assert!(puts.len() > 1);
    assert!(puts.iter().all(|put| put.sent_bytes * 2 < put.unpacked_bytes), "compressed");
    let largest = puts.iter().map(|put| put.unpacked_bytes).max().unwrap();
    assert!(largest > 500_000, "{largest} bytes: smaller requests than need be");
    let sent = Sent::of(puts);
    assert_eq!(sent.count("worker_latency_seconds", &[]), values);
    assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), values / 7.0);
}

#[tokio::test]
async fn the_same_value_goes_once_with_its_count() {
    let app = TestApp::new().await;
    for micros in [1_234_000, 1_234_999, 1_233_501, 2_000_000] {
        app.metrics().record_ended(record(EventType::PaymentFailed, Duration::from_micros(micros)));
    }
    let sent = sent(&app).await;
    assert_eq!(sent.values("worker_latency_seconds", &[]), [(1.23, 3.0), (2.0, 1.0)]);
    assert_eq!(sent.values("worker_event_age_seconds", &[]), [(1.23, 3.0), (2.0, 1.0)]);
}
