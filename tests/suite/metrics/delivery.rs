//! When metrics are sent, and what happens to metrics that CloudWatch does not accept.

use std::time::{Duration, SystemTime};

use reservation_worker::event::EventType;
use reservation_worker_local::cloudwatch::CloudWatchBehaviour;
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};
use sqs_batch::ClockReading;
use strum::VariantArray;

use super::values::record;
use super::{Sent, receive_count, sent};
use crate::test_app::{TestApp, expired, sqs};

fn later(now: ClockReading, seconds: u64) -> ClockReading {
    let time = Duration::from_secs(seconds);
    ClockReading { instant: now.instant + time, time: now.time + time }
}

/// An invocation with one record, which succeeds.
async fn invoke(app: &TestApp) {
    app.hold_if_new("r1");
    assert_eq!(app.run(sqs([("m1", expired("r1"))])).await.returned(), [""; 0]);
}

/// Waits until CloudWatch has received the first call, and lets the longest time limit of a call expire.
async fn call_times_out(app: &TestApp) {
    while app.services.cloudwatch().calls() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(3)).await;
}

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_first_invocation_sends_at_once_and_then_one_in_ten_seconds() {
    let app = TestApp::new().await;
    let start = ClockReading::now();
    for (seconds, calls) in [(0, 1), (1, 1), (9, 1), (10, 2), (11, 2), (20, 3)] {
        invoke(&app).await;
        assert_eq!(app.after_response(later(start, seconds)).await, "");
        assert_eq!(app.services.cloudwatch().calls(), calls, "after {seconds} s");
    }
    let sent = Sent::of(app.services.cloudwatch().take());
    assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), 6.0);
}

#[tokio::test]
async fn metrics_that_an_alarm_needs_are_sent_within_a_second() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "3")]).await;
    let start = ClockReading::now();
    invoke(&app).await;
    app.after_response(start).await;
    let mut dead = sqs([("m", json!("no JSON"))]);
    receive_count(&mut dead, 5);
    app.run(dead).await;
    app.after_response(start).await;
    assert_eq!(app.services.cloudwatch().calls(), 1);
    app.after_response(later(start, 1)).await;
    assert_eq!(app.services.cloudwatch().calls(), 2, "a dead letter");

    app.hold("r2");
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    app.run(sqs([("m2", expired("r2"))])).await;
    app.after_response(later(start, 2)).await;
    assert_eq!(app.services.cloudwatch().calls(), 3, "a breaker has opened");
    app.after_response(later(start, 3)).await;
    assert_eq!(app.services.cloudwatch().calls(), 3, "there is nothing to send");

    app.run(sqs([("m3", json!({ "type": "worker.heartbeat" }))])).await;
    app.after_response(later(start, 4)).await;
    assert_eq!(app.services.cloudwatch().calls(), 4, "a heartbeat");
}

#[tokio::test]
async fn a_misconfiguration_is_sent_within_a_second_and_a_transient_error_is_not() {
    for (effect, calls) in [
        (Effect::http(401), 2),
        (Effect::http(404), 2),
        (Effect::grpc(16), 2),
        (Effect::grpc(12), 2),
        (Effect::http(500), 1),
        (Effect::grpc(13), 1),
    ] {
        let app = TestApp::new().await;
        let start = ClockReading::now();
        invoke(&app).await;
        app.after_response(start).await;
        let operation = match &effect {
            Effect::Grpc { .. } => Operation::ReleaseHold,
            _ => Operation::UpdateStatus,
        };
        app.hold("r2");
        app.services.fault(Fault::any(operation, effect.clone()));
        app.run(sqs([("m2", expired("r2"))])).await;
        app.after_response(later(start, 1)).await;
        assert_eq!(app.services.cloudwatch().calls(), calls, "{effect:?}");
    }
}

#[tokio::test]
async fn metrics_that_cloudwatch_refuses_are_retried_at_growing_intervals_and_logged_once() {
    for (answer, reason) in [
        (CloudWatchBehaviour::Fails(400, "ThrottlingException"), "ThrottlingException"),
        (CloudWatchBehaviour::Fails(500, "InternalServiceFault"), "InternalServiceFault"),
        (CloudWatchBehaviour::Fails(403, "AccessDenied"), "AccessDenied"),
    ] {
        let app = TestApp::new().await;
        app.services.cloudwatch().set_behaviour(answer);
        let start = ClockReading::now();
        let mut log = String::new();
        let steps = [
            (0, 1),
            (9, 1),
            (10, 2),
            (29, 2),
            (30, 3),
            (69, 3),
            (70, 4),
            (129, 4),
            (130, 5),
            (189, 5),
            (190, 6),
        ];
        for (seconds, calls) in steps {
            invoke(&app).await;
            log += &app.after_response(later(start, seconds)).await;
            assert_eq!(app.services.cloudwatch().calls(), calls, "{reason} after {seconds} s");
        }
        let logged = lines(&log);
        assert_eq!(logged.len(), 1, "{log}");
        assert_eq!((&logged[0]["level"], &logged[0]["reason"]), (&json!("WARN"), &json!(reason)));

        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
        app.after_response(later(start, 250)).await;
        let sent = Sent::of(app.services.cloudwatch().take());
        assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), 11.0, "{reason}");
    }
}

#[tokio::test]
async fn metrics_that_cloudwatch_can_never_accept_are_dropped_and_later_metrics_are_sent() {
    let app = TestApp::new().await;
    app.services
        .cloudwatch()
        .set_behaviour(CloudWatchBehaviour::Fails(400, "InvalidParameterValueException"));
    invoke(&app).await;
    let start = ClockReading::now();
    let log = app.after_response(start).await;
    let logged = lines(&log);
    assert_eq!((logged.len(), &logged[0]["level"]), (1, &json!("ERROR")), "{log}");
    app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    invoke(&app).await;
    app.after_response(later(start, 10)).await;
    let sent = Sent::of(app.services.cloudwatch().take());
    assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), 1.0);
}

#[tokio::test]
async fn metrics_of_a_call_without_a_reply_are_sent_again() {
    for (answer, times) in [(CloudWatchBehaviour::Hang, 1.0), (CloudWatchBehaviour::HangAfterAccepting, 2.0)]
    {
        let app = TestApp::new().await;
        app.metrics().batch_begun(3);
        app.services.cloudwatch().set_behaviour(answer);
        let (log, ()) = tokio::join!(app.after_response(ClockReading::now()), call_times_out(&app));
        let logged = lines(&log);
        assert_eq!((logged.len(), &logged[0]["reason"]), (1, &json!("no reply in time")), "{log}");
        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
        assert_eq!(sent(&app).await.count("worker_batch_size", &[]), times);
    }
}

/// For each datum of `worker_batch_size`: its minute, counted from this time, and the sizes of the batches.
fn batches(sent: &Sent, from: SystemTime) -> Vec<(u64, Vec<f64>)> {
    let batches = sent.0.iter().filter(|datum| datum.name == "worker_batch_size").map(|datum| {
        let after = datum.timestamp.duration_since(from).unwrap_or_default() + Duration::from_millis(500);
        (after.as_secs() / 60, datum.values.iter().map(|(size, _)| *size).collect())
    });
    batches.collect()
}

/// Sends a period that is too large for one call. CloudWatch accepts the first call and throttles the second.
/// `meanwhile` records finish during the calls, and one record finishes afterwards.
async fn sent_in_part(app: &TestApp, records: usize, start: ClockReading, meanwhile: usize) {
    app.metrics().invocation_begun(false, None, start.time);
    app.metrics().batch_begun(records);
    for number in 0..records {
        let share = (number / 4) as f64 / (records / 4) as f64;
        let event_type = EventType::VARIANTS[number % EventType::VARIANTS.len()];
        let took = Duration::from_secs_f64(10_f64.powf(share * 6.0 - 3.0));
        app.metrics().record_finished(record(event_type, took));
    }
    app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Throttled(1));
    let end = || app.metrics().record_finished(record(EventType::VARIANTS[0], Duration::ZERO));
    let meanwhile = async { (0..meanwhile).for_each(|_| end()) };
    let (log, ()) = tokio::join!(app.after_response(start), meanwhile);
    assert!(log.contains("ThrottlingException"), "{log}");
    assert_eq!(app.services.cloudwatch().calls(), 2);
    end();
}

#[tokio::test]
async fn metrics_of_a_successful_call_are_not_sent_again() {
    for meanwhile in [0, 1] {
        let (app, all, start) = (TestApp::new().await, 60_000, ClockReading::now());
        sent_in_part(&app, all, start, meanwhile).await;
        app.metrics().batch_begun(1);
        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
        app.after_response(later(start, 10)).await;

        let sent = Sent::of(app.services.cloudwatch().take());
        let ended = (all + meanwhile + 1) as f64;
        assert_eq!(sent.count("worker_latency_seconds", &[]), ended);
        assert_eq!(sent.count("worker_event_age_seconds", &[]), ended);
        assert_eq!(sent.sum("worker_events_total", &[("outcome", "success")]), ended);
        assert_eq!(sent.count("worker_batch_size", &[]), 2.0);
    }
}

#[tokio::test]
async fn the_rest_of_a_partly_sent_minute_is_sent_unchanged_after_an_outage() {
    let (app, all, start) = (TestApp::new().await, 60_000, ClockReading::now());
    sent_in_part(&app, all, start, 1).await;
    for minute in 1..=10 {
        let now = later(start, 60 * minute);
        app.metrics().invocation_begun(false, None, now.time);
        app.metrics().batch_begun(minute as usize);
        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Fails(500, "InternalServiceFault"));
        app.after_response(now).await;
    }
    app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    app.after_response(later(start, 660)).await;

    let sent = Sent::of(app.services.cloudwatch().take());
    assert_eq!(sent.count("worker_latency_seconds", &[]), all as f64 + 2.0);
    // The second datum merges the minutes 1 to 7 with what finished in the first minute after the first call.
    let merged = (1..=7).map(f64::from).collect();
    let kept = [(0, vec![all as f64]), (0, merged), (8, vec![8.0]), (9, vec![9.0]), (10, vec![10.0])];
    assert_eq!(batches(&sent, start.time), kept);
}

#[tokio::test]
async fn after_a_long_outage_the_last_minutes_are_separate_and_older_minutes_are_merged() {
    let app = TestApp::new().await;
    let now = SystemTime::now();
    for minute in 0..60 {
        app.metrics().invocation_begun(false, None, now - Duration::from_secs(3_600 - 60 * minute));
        app.metrics().batch_begun(minute as usize + 1);
    }
    let sent = sent(&app).await;
    let merged = (1..=56).map(f64::from).collect();
    let kept = [(0, merged), (56, vec![57.0]), (57, vec![58.0]), (58, vec![59.0]), (59, vec![60.0])];
    assert_eq!(batches(&sent, now - Duration::from_secs(3_600)), kept);
}

#[tokio::test]
async fn without_a_sink_no_metrics_are_sent_or_written() {
    let app = TestApp::with(&[("METRICS_SINK", "none")]).await;
    invoke(&app).await;
    assert_eq!(app.after_response(ClockReading::now()).await, "");
    app.shutdown().await;
    assert_eq!((app.services.cloudwatch().calls(), app.emf().text()), (0, String::new()));
}

#[tokio::test]
async fn metrics_recorded_during_a_hanging_call_are_sent_later_with_their_own_minute() {
    for (minutes, kept) in [(0, vec![(0, vec![1.0, 2.0])]), (1, vec![(0, vec![1.0]), (1, vec![2.0])])] {
        let (app, start) = (TestApp::new().await, ClockReading::now());
        app.metrics().invocation_begun(false, None, start.time);
        app.metrics().batch_begun(1);
        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Hang);
        let meanwhile = async {
            app.metrics().invocation_begun(false, None, later(start, 60 * minutes).time);
            app.metrics().batch_begun(2);
            call_times_out(&app).await;
        };
        tokio::join!(app.after_response(start), meanwhile);
        app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
        app.after_response(later(start, 60)).await;
        assert_eq!(batches(&Sent::of(app.services.cloudwatch().take()), start.time), kept);
    }
}
