//! The reason why a message is in the dead-letter queue, on its log line and in a metric.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker::reason::Reason;
use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::{Value, json};
use strum::VariantArray;

use super::{labels, receive_count, sent};
use crate::table::{COMMIT, PATCH, RELEASE, reply};
use crate::test_app::{TestApp, approved, expired, failed, fifo, sqs};

/// A record: message id, event, status of the reservation, and injected fault.
type Case = (&'static str, Value, Status, Option<(Operation, Effect)>);

/// One record for each reason. The record is returned for this reason, and its id is the code of the reason.
fn one_record_per_reason() -> Vec<Case> {
    let hold = Status::Hold;
    let without_facts = json!({ "type": "payment.failed", "reservation_id": "facts_missing" });
    let empty_object = || reply(200, json!({}));
    vec![
        ("paid_but_expired", approved("paid_but_expired"), Status::Expired, None),
        ("paid_but_cancelled", approved("paid_but_cancelled"), Status::Cancelled, None),
        ("failed_payment_of_confirmed", failed("failed_payment_of_confirmed"), Status::Confirmed, None),
        ("facts_missing", without_facts, hold, Some((Operation::ReadReservation, empty_object()))),
        (
            "reservation_api_rejected",
            expired("reservation_api_rejected"),
            hold,
            Some((PATCH, Effect::http_code(404, "RESERVATION_NOT_FOUND"))),
        ),
        ("commit_rejected", approved("commit_rejected"), hold, Some((COMMIT, Effect::grpc(9)))),
        ("release_rejected", expired("release_rejected"), hold, Some((RELEASE, Effect::grpc(9)))),
        (
            "reservation_api_unavailable",
            expired("reservation_api_unavailable"),
            hold,
            Some((PATCH, Effect::http(503))),
        ),
        ("inventory_unavailable", expired("inventory_unavailable"), hold, Some((RELEASE, Effect::grpc(14)))),
        ("reservation_api_denied", expired("reservation_api_denied"), hold, Some((PATCH, Effect::http(401)))),
        ("inventory_denied", expired("inventory_denied"), hold, Some((RELEASE, Effect::grpc(16)))),
        (
            "reservation_api_wrong_address",
            expired("reservation_api_wrong_address"),
            hold,
            Some((PATCH, Effect::http(404))),
        ),
        (
            "inventory_wrong_address",
            expired("inventory_wrong_address"),
            hold,
            Some((RELEASE, Effect::grpc(12))),
        ),
        ("reservation_api_error", expired("reservation_api_error"), hold, Some((PATCH, Effect::http(500)))),
        ("inventory_error", expired("inventory_error"), hold, Some((RELEASE, Effect::grpc(13)))),
        ("payment_not_seen", approved("payment_not_seen"), hold, Some((PATCH, Effect::http(412)))),
        (
            "reservation_conflict",
            expired("reservation_conflict"),
            hold,
            Some((PATCH, Effect::http_code(409, "OTHER"))),
        ),
        ("invalid_payload", json!("no JSON"), hold, None),
    ]
}

/// The reasons of the batch engine. `traces/panics.rs` and another test of this file have records with these reasons.
const REASONS_OF_THE_ENGINE: [Reason; 3] = [Reason::NoTime, Reason::GroupBlocked, Reason::Panicked];

#[test]
fn the_list_of_records_covers_every_reason() {
    let records = one_record_per_reason();
    for reason in Reason::VARIANTS.iter().filter(|reason| !REASONS_OF_THE_ENGINE.contains(reason)) {
        assert!(records.iter().any(|(id, ..)| *id == reason.as_str()), "no record for {reason:?}");
    }
}

async fn app() -> TestApp {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    for (id, _, status, fault) in one_record_per_reason() {
        app.hold(id);
        app.services.set_reservation_status(id, status);
        if let Some((operation, effect)) = fault {
            app.services.fault(Fault::on(operation, id, effect));
        }
    }
    app.services.fault(Fault::on(PATCH, "facts_missing", reply(200, json!({}))));
    app
}

#[tokio::test]
async fn each_reason_has_a_code_and_advice_on_the_line_and_is_a_dimension_of_the_metric() {
    let app = app().await;
    let mut event = sqs(one_record_per_reason().into_iter().map(|(id, body, ..)| (id, body)));
    receive_count(&mut event, 5);

    let run = app.run(event).await;
    let sent = sent(&app).await;

    let mut advice = BTreeSet::new();
    let mut counted = sent.sums("worker_dead_letters_total", &["type", "reason"]);
    for (id, ..) in one_record_per_reason() {
        let line = run.line(id);
        assert_eq!(line["reason_code"], id, "{line}");
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("record is a dead letter")));
        let code = Reason::VARIANTS.iter().find(|reason| reason.as_str() == id).unwrap();
        assert_eq!(line["advice"], code.advice());
        advice.insert(code.advice());
        let event_type = line["event_type"].as_str().unwrap();
        assert_eq!(counted.remove(&labels([event_type, id])), Some(1.0), "{id}");
    }
    assert_eq!(counted.len(), 0, "{counted:?}");
    let dead = one_record_per_reason().len() as f64;
    assert_eq!(sent.sums("worker_dead_letters_total", &[]), [(labels([]), dead)].into());
    let by_reason = one_record_per_reason().into_iter().map(|(id, ..)| (labels([id]), 1.0));
    assert_eq!(sent.sums("worker_returned_total", &["reason"]), by_reason.collect());
    assert!(
        advice.len() >= one_record_per_reason().len() - 3,
        "reasons share too much of their advice: {advice:?}"
    );
}

#[tokio::test]
async fn a_conflict_while_reading_the_reservation_is_a_reservation_conflict() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, reply(200, json!({}))));
    app.services.fault(Fault::any(Operation::ReadReservation, Effect::http(409)));
    let run = app.run(sqs([("m1", json!({ "type": "payment.failed", "reservation_id": "r1" }))])).await;
    assert_eq!(run.line("m1")["reason_code"], "reservation_conflict");
}

#[tokio::test]
async fn lack_of_time_and_a_blocked_group_are_reported_as_reasons() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "1"), ("DEADLINE_RESERVE_MS", "100")]).await;
    app.hold("hangs");
    app.services.fault(Fault::on(Operation::UpdateStatus, "hangs", Effect::Hang));
    app.hold("fails");
    app.services.fault(Fault::on(Operation::UpdateStatus, "fails", Effect::http(500)));
    let mut group = fifo([("fails", "a", expired("fails")), ("blocked", "a", expired("blocked"))]);
    let mut late = sqs([("hangs", expired("hangs")), ("waits", approved("waits"))]);
    receive_count(&mut group, 5);
    receive_count(&mut late, 5);
    // A record on its last receive would not block its group.
    group["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!("1");
    for (event, codes) in [
        (group, [("fails", "reservation_api_error"), ("blocked", "group_blocked")]),
        (late, [("hangs", "no_time"), ("waits", "no_time")]),
    ] {
        let run = app.run_within(event, Duration::from_millis(500)).await;
        for (id, code) in codes {
            assert_eq!(run.line(id)["reason_code"], code);
            assert_eq!(run.line(id)["advice"].is_string(), id != "fails", "{id}");
        }
    }
    let sums = sent(&app).await.sums("worker_dead_letters_total", &["type", "reason"]);
    let expected = [
        (["payment.approved", "no_time"], 1.0),
        (["reservation.expired", "group_blocked"], 1.0),
        (["reservation.expired", "no_time"], 1.0),
    ];
    assert_eq!(sums, expected.map(|(values, count)| (labels(values), count)).into());
}

#[tokio::test]
async fn a_record_deferred_by_an_open_breaker_has_the_code_for_an_unavailable_service() {
    for (operation, effect, code) in [
        (Operation::UpdateStatus, Effect::http(503), "reservation_api_unavailable"),
        (Operation::CommitReservation, Effect::grpc(14), "inventory_unavailable"),
    ] {
        let app = TestApp::with(&[("BREAKER_FAILURES", "3")]).await;
        app.services.fault(Fault::any(operation, effect));
        for id in ["r1", "r2"] {
            app.hold(id);
            let run = app.run(sqs([(id, approved(id))])).await;
            assert_eq!(run.line(id)["reason_code"], code);
        }
    }
}

#[tokio::test]
async fn only_the_delivery_after_which_sqs_moves_the_message_to_the_dlq_is_counted() {
    let app = TestApp::with(&[("MAX_RETRIES", "3"), ("BREAKER_FAILURES", "0")]).await;
    ["good", "unavailable"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "unavailable", Effect::http(503)));
    // A fourth receive occurs only if the queue's `maxReceiveCount` is above `MAX_RETRIES`.
    for (receives, is_last, counted) in [(1, false, 0.0), (2, false, 0.0), (3, true, 1.0), (4, true, 0.0)] {
        let mut event = sqs([
            ("good", expired("good")),
            ("unavailable", expired("unavailable")),
            ("bad", json!("no JSON")),
        ]);
        receive_count(&mut event, receives);

        let run = app.run(event).await;

        let sent = sent(&app).await;
        let count = |event_type, reason| {
            sent.sum("worker_dead_letters_total", &[("type", event_type), ("reason", reason)])
        };
        assert_eq!(
            count("reservation.expired", "reservation_api_unavailable"),
            counted,
            "receive {receives}"
        );
        assert_eq!(count("unknown", "invalid_payload"), counted, "receive {receives}");
        let unavailable = run.line("unavailable");
        assert_eq!(unavailable["level"], if is_last { "ERROR" } else { "WARN" });
        assert_eq!(
            unavailable["advice"].is_string(),
            is_last,
            "a record that is redelivered has no advice: {unavailable}"
        );
        assert!(run.line("bad")["advice"].is_string());
        assert!(run.line("good").get("reason_code").is_none());
    }
}

#[test]
fn exactly_the_reasons_of_the_class_misconfigured_are_misconfigurations() {
    let codes = Reason::VARIANTS.iter().filter(|reason| reason.is_misconfiguration());
    let expected = [
        "reservation_api_denied",
        "inventory_denied",
        "reservation_api_wrong_address",
        "inventory_wrong_address",
    ];
    assert_eq!(codes.map(|reason| reason.as_str()).collect::<Vec<_>>(), expected);
}
