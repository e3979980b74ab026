//! Why a message is in the dead-letter queue: on its line, and in a metric.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker::reason::Reason;
use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::{Value, json};

use super::{labels, receive_count, sent};
use crate::table::{COMMIT, PATCH, RELEASE, reply};
use crate::test_app::{TestApp, approved, expired, failed, fifo, sqs};

/// A record: its id, its event, its reservation's status, and what it meets.
type Case = (&'static str, Value, Status, Option<(Operation, Effect)>);

/// For each reason a record that is returned for it, whose id is the reason's code.
fn one_of_each() -> Vec<Case> {
    let hold = Status::Hold;
    let without_facts = json!({ "type": "payment.failed", "reservation_id": "facts_missing" });
    let nothing = || reply(200, json!({}));
    vec![
        ("paid_but_expired", approved("paid_but_expired"), Status::Expired, None),
        ("paid_but_cancelled", approved("paid_but_cancelled"), Status::Cancelled, None),
        ("failed_payment_of_confirmed", failed("failed_payment_of_confirmed"), Status::Confirmed, None),
        ("facts_missing", without_facts, hold, Some((Operation::ReadReservation, nothing()))),
        (
            "reservation_api_rejected",
            expired("reservation_api_rejected"),
            hold,
            Some((PATCH, Effect::http(404))),
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

async fn app() -> TestApp {
    let app = TestApp::with(&[
        ("BREAKER_FAILURES", "0"),
        ("INVENTORY_TIMEOUT_MS", "60000"),
        ("RESERVATION_API_TIMEOUT_MS", "60000"),
    ])
    .await;
    for (id, _, status, fault) in one_of_each() {
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
async fn each_reason_is_a_code_on_the_line_and_a_dimension_of_the_metric_with_what_to_do() {
    let app = app().await;
    let mut event = sqs(one_of_each().into_iter().map(|(id, body, ..)| (id, body)));
    receive_count(&mut event, 5);

    let ran = app.run(event).await;
    let sent = sent(&app).await;

    let mut advised = BTreeSet::new();
    let mut counted = sent.sums("worker_dead_letters_total", &["type", "reason"]);
    for (id, ..) in one_of_each() {
        let line = ran.line(id);
        assert_eq!(line["reason_code"], id, "{line}");
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("record is a dead letter")));
        let code = Reason::ALL.into_iter().find(|reason| reason.as_str() == id).unwrap();
        assert_eq!(line["advice"], code.advice());
        advised.insert(code.advice());
        let event_type = line["event_type"].as_str().unwrap();
        assert_eq!(counted.remove(&labels([event_type, id])), Some(1.0), "{id}");
    }
    assert_eq!(counted.len(), 0, "{counted:?}");
    assert!(advised.len() >= one_of_each().len() - 1, "advice that says something: {advised:?}");
}

#[tokio::test]
async fn a_conflict_when_the_reservation_is_read_is_one_too() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, reply(200, json!({}))));
    app.services.fault(Fault::any(Operation::ReadReservation, Effect::http(409)));
    let ran = app.run(sqs([("m1", json!({ "type": "payment.failed", "reservation_id": "r1" }))])).await;
    assert_eq!(ran.line("m1")["reason_code"], "reservation_conflict");
}

#[tokio::test]
async fn reasons_that_are_nobodys_fault_are_told_too() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "1"), ("DEADLINE_RESERVE_MS", "100")]).await;
    app.hold("hangs");
    app.services.fault(Fault::on(Operation::UpdateStatus, "hangs", Effect::Hang));
    let mut group = fifo([("poison", "a", json!("no JSON")), ("blocked", "a", expired("blocked"))]);
    let mut late = sqs([("hangs", expired("hangs")), ("waits", approved("waits"))]);
    receive_count(&mut group, 5);
    receive_count(&mut late, 5);
    // On its last receive it would block nothing.
    group["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!("1");
    for (event, codes) in [
        (group, [("poison", "invalid_payload"), ("blocked", "group_blocked")]),
        (late, [("hangs", "no_time"), ("waits", "no_time")]),
    ] {
        let ran = app.run_within(event, Duration::from_millis(500)).await;
        for (id, code) in codes {
            assert_eq!(ran.line(id)["reason_code"], code);
            assert!(ran.line(id)["advice"].is_string());
        }
    }
    let sums = sent(&app).await.sums("worker_dead_letters_total", &["type", "reason"]);
    let expected = [
        (["payment.approved", "no_time"], 1.0),
        (["reservation.expired", "group_blocked"], 1.0),
        (["reservation.expired", "no_time"], 1.0),
    ];
    assert_eq!(sums, expected.map(|(of, count)| (labels(of), count)).into());
}

#[tokio::test]
async fn a_breaker_that_turns_a_record_away_is_its_services_unavailability() {
    for (operation, effect, code) in [
        (Operation::UpdateStatus, Effect::http(503), "reservation_api_unavailable"),
        (Operation::CommitReservation, Effect::grpc(14), "inventory_unavailable"),
    ] {
        let app = TestApp::with(&[("BREAKER_FAILURES", "3")]).await;
        app.services.fault(Fault::any(operation, effect));
        for id in ["r1", "r2"] {
            app.hold(id);
            let ran = app.run(sqs([(id, approved(id))])).await;
            assert_eq!(ran.line(id)["reason_code"], code);
        }
    }
}

#[tokio::test]
async fn only_the_delivery_after_which_sqs_moves_the_message_is_counted() {
    let app = TestApp::with(&[("MAX_RETRIES", "3"), ("BREAKER_FAILURES", "0")]).await;
    ["good", "busy"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "busy", Effect::http(503)));
    // The fourth comes only where the queue allows more than the worker knows of.
    for (receives, is_last, counted) in [(1, false, 0.0), (2, false, 0.0), (3, true, 1.0), (4, true, 0.0)] {
        let mut event =
            sqs([("good", expired("good")), ("busy", expired("busy")), ("bad", json!("no JSON"))]);
        receive_count(&mut event, receives);

        let ran = app.run(event).await;

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
        let busy = ran.line("busy");
        assert_eq!(busy["level"], if is_last { "ERROR" } else { "WARN" });
        assert_eq!(busy["advice"].is_string(), is_last, "what comes again needs nobody: {busy}");
        assert!(ran.line("bad")["advice"].is_string());
        assert!(ran.line("good").get("reason_code").is_none());
    }
}
