//! Contract section 3: the requests that an event causes, their order, and the outcome.

use reservation_worker_local::{Effect, Fault, SeatState, Status};
use serde_json::{Value, json};

use crate::table::{
    COMMIT, Kind, PATCH, RELEASE, Row, app_with_generous_limits, assert_seats_match_status, check_rows,
    inventory_requests, operations, without_facts,
};
use crate::test_app::{TestApp, approved, expired, failed, sqs};

mod facts;
mod races;
mod redelivery;

/// Delivers one event and returns the outcome with its reason.
async fn deliver(app: &TestApp, message_id: &str, event: Value) -> (String, String) {
    let run = app.run(sqs([(message_id, event)])).await;
    let (outcome, reason) = (run.outcome(message_id).to_owned(), run.reason(message_id).to_owned());
    let acknowledged = matches!(outcome.as_str(), "success" | "superseded" | "ignored");
    assert_eq!(run.returned().is_empty(), acknowledged, "{outcome}: {reason}");
    (outcome, reason)
}

#[tokio::test]
async fn each_event_type_causes_exactly_its_two_requests() {
    let cases = [
        (
            expired("r1"),
            "r1:EXPIRED",
            json!({"status": "EXPIRED"}),
            "/reservation.v1.InventoryService/ReleaseHold",
            json!({
                "reservation_id": "r1", "event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2,
                "reason": "EXPIRED", "idempotency_key": "r1:RELEASE",
            }),
        ),
        (
            approved("r1"),
            "r1:CONFIRMED",
            json!({"status": "CONFIRMED", "payment_intent_id": "pay_1"}),
            "/reservation.v1.InventoryService/CommitReservation",
            json!({
                "reservation_id": "r1", "event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2,
                "payment_intent_id": "pay_1", "user_id": "user_1", "idempotency_key": "r1:COMMIT",
            }),
        ),
        (
            failed("r1"),
            "r1:CANCELLED",
            json!({"status": "CANCELLED", "reason": "payment_failed", "error_code": "CARD_DECLINED"}),
            "/reservation.v1.InventoryService/ReleaseHold",
            json!({
                "reservation_id": "r1", "event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2,
                "reason": "FAILED_PAYMENT", "idempotency_key": "r1:RELEASE",
            }),
        ),
        (
            without_facts(failed("r1"), &["error_code"]),
            "r1:CANCELLED",
            json!({"status": "CANCELLED", "reason": "payment_failed"}),
            "/reservation.v1.InventoryService/ReleaseHold",
            json!({
                "reservation_id": "r1", "event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2,
                "reason": "FAILED_PAYMENT", "idempotency_key": "r1:RELEASE",
            }),
        ),
    ];
    for kind in Kind::ALL {
        let type_name = &kind.event("r1")["detail-type"];
        assert!(cases.iter().any(|(event, ..)| event["detail-type"] == *type_name), "no case for {kind:?}");
    }
    for (event, key, update, method, message) in cases {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        assert_eq!(deliver(&app, "m-1", event).await.0, "success");

        let calls = app.services.calls();
        let [status, seats] = &calls[..] else { panic!("{calls:#?}") };
        assert_eq!((status.operation, status.path.as_str()), (PATCH, "/internal/reservations/r1"));
        assert_eq!(status.headers["idempotency-key"], key);
        assert_eq!(status.headers["content-type"], "application/json");
        assert_eq!(status.body, update);
        assert_eq!(seats.path, method);
        assert_eq!(seats.body, message);
        assert_seats_match_status(&app, "r1");
    }
}

#[tokio::test]
async fn every_valid_identifier_reaches_both_services_unchanged() {
    let long = format!("r{}", "9".repeat(127));
    for id in ["res:2026.a_b-C", "0", "a..b", "a.", "r-_.:", &long] {
        for kind in Kind::ALL {
            let app = app_with_generous_limits(&[]).await;
            app.hold(id);
            // The names of the seats contain the reservation id. With the longest id they are too long for an event.
            let event = without_facts(kind.event(id), &["seat_ids"]);
            assert_eq!(deliver(&app, "m-1", event).await.0, "success", "{kind:?} {id}");
            let calls = app.services.calls();
            assert_eq!(calls[0].path.replace("%3A", ":"), format!("/internal/reservations/{id}"));
            assert!(calls.iter().all(|call| call.reservation_id == id), "{calls:#?}");
            assert_eq!(app.services.seat_state(id), Some(kind.final_seat_state()));
        }
    }
}

#[tokio::test]
async fn a_failed_status_update_does_not_change_the_seats() {
    let faults = [
        (Effect::http(503), "retried", 3),
        (Effect::done_then(Effect::http(503)), "retried", 3),
        (Effect::Reset, "retried", 3),
        (Effect::http(403), "retried", 1),
        (Effect::http(404), "retried", 1),
        (Effect::http(422), "failed", 1),
    ];
    let rows = faults.into_iter().flat_map(|(effect, outcome, attempts)| {
        Kind::ALL.map(|kind| {
            Row::new(kind, format!("{effect:?}"))
                .fault(PATCH, effect.clone())
                .expects(outcome, vec![PATCH; attempts])
        })
    });
    let app = app_with_generous_limits(&[]).await;
    check_rows(&app, rows).await;
    for call in app.services.calls() {
        assert_eq!(app.services.seat_state(&call.reservation_id), Some(SeatState::Hold));
    }
}

#[tokio::test]
async fn the_inventory_is_called_only_after_the_reply_to_the_status_update() {
    let app = app_with_generous_limits(&[]).await;
    // The status is updated at once, but the reply is delayed.
    app.services.fault(Fault::any(PATCH, Effect::done_then(Effect::latency(50))));
    let kinds = Kind::ALL.map(|kind| (format!("{kind:?}"), kind));
    kinds.iter().for_each(|(id, _)| app.hold(id));
    let status_reply_at_the_inventory_call = async {
        loop {
            let calls = app.services.calls();
            if let Some(seats) = calls.iter().find(|call| matches!(call.operation, COMMIT | RELEASE)) {
                let id = &seats.reservation_id;
                let status = calls.iter().find(|call| call.operation == PATCH && call.reservation_id == *id);
                return status.unwrap().reply.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let events = sqs(kinds.iter().map(|(id, kind)| (id.as_str(), kind.event(id))));
    let (run, reply) = tokio::join!(app.run(events), status_reply_at_the_inventory_call);
    assert_eq!(reply, "200");
    assert_eq!(run.returned(), [""; 0]);
}

#[tokio::test]
async fn an_event_delivered_three_times_has_the_effect_of_one_delivery() {
    for kind in Kind::ALL {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        for message_id in ["m-1", "m-2", "m-3"] {
            assert_eq!(deliver(&app, message_id, kind.event("r1")).await.0, "success");
            assert_eq!(app.services.reservation("r1").unwrap().status, kind.target_status());
            assert_eq!(app.services.seat_state("r1"), Some(kind.final_seat_state()));
        }
        assert_eq!(operations(&app, "r1"), [PATCH, kind.inventory_call()].repeat(3));
        let calls = app.services.calls();
        for repeated in calls[2..].chunks(2) {
            assert_eq!(repeated[0].body, calls[0].body);
            assert_eq!(repeated[0].headers["idempotency-key"], calls[0].headers["idempotency-key"]);
            assert_eq!(repeated[1].body, calls[1].body);
        }
    }
}

#[tokio::test]
async fn an_alias_of_the_event_type_causes_the_same_requests() {
    // A release requested by the alias must not conflict with the earlier release.
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let mut alias = expired("r1");
    alias["detail-type"] = json!("reservation.hold.expired");
    alias["id"] = json!("another-event");
    for (message_id, event) in [("m-1", expired("r1")), ("m-2", alias)] {
        assert_eq!(deliver(&app, message_id, event).await.0, "success");
    }
    let requests = inventory_requests(&app, "r1");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn seats_of_an_ended_hold_can_be_held_and_sold_again() {
    for kind in [Kind::Expired, Kind::Failed] {
        let app = app_with_generous_limits(&[]).await;
        let hold = |id: &str| reservation_worker_local::Hold {
            reservation_id: id.to_owned(),
            event_id: "evt_1".to_owned(),
            user_id: None,
            seat_ids: vec!["A-1".to_owned()],
            quantity: None,
        };
        let event = |kind: Kind, id| {
            let mut event = kind.event(id);
            event["detail"]["seat_ids"] = json!(["A-1"]);
            event
        };
        app.services.create_hold(hold("r1")).unwrap();
        assert_eq!(deliver(&app, "m-1", event(kind, "r1")).await.0, "success");
        app.services.create_hold(hold("r2")).unwrap();
        assert_eq!(deliver(&app, "m-2", event(Kind::Approved, "r2")).await.0, "success");
        // A late redelivery of the first buyer's event. Meanwhile the seat belongs to the second buyer.
        assert_eq!(deliver(&app, "m-3", event(kind, "r1")).await.0, "success");
        let (outcome, reason) = deliver(&app, "m-4", event(Kind::Approved, "r1")).await;
        assert_eq!(outcome, "failed");
        assert!(reason.contains("refund due"), "{reason}");
        assert_eq!(app.services.seat_state("r2"), Some(SeatState::Sold));
        assert_eq!(app.services.reservation("r2").unwrap().status, Status::Confirmed);
    }
}
