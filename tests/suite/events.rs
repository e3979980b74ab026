//! Contract section 2: which bodies are understood, what the services are then told, and how the others
//! are refused.

use reservation_worker_local::{Call, Hold};
use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, sqs};

mod hostile;
mod identifiers;
mod payments;
mod poison;
mod refusals;
mod seats;
mod shapes;

/// Runs one event that must be understood and worked, and returns what the services were told, in order.
async fn told(app: &TestApp, body: &Value) -> Vec<Value> {
    let ran = run(app, body).await;
    assert_eq!(ran.outcome("m1"), "success", "{}: {body}", ran.reason("m1"));
    assert_eq!(ran.returned(), [""; 0], "{body}");
    app.services.take_calls().iter().map(call).collect()
}

async fn run(app: &TestApp, body: &Value) -> BatchRun {
    app.run(sqs([("m1", body.clone())])).await
}

/// What a service was told, without the headers that are the same for every event.
fn call(call: &Call) -> Value {
    json!({
        "path": call.path,
        "idempotency-key": call.headers.get("idempotency-key"),
        "body": call.body,
    })
}

/// The update of a reservation's status, with `more` than the status in its body.
fn status_update(reservation_id: &str, status: &str, more: Value) -> Value {
    json!({
        "path": format!("/internal/reservations/{reservation_id}"),
        "idempotency-key": format!("{reservation_id}:{status}"),
        "body": with(json!({ "status": status }), more),
    })
}

/// `ReleaseHold` of these seats of `evt_1`.
fn release(reservation_id: &str, reason: &str, seat_ids: &[String], quantity: usize) -> Value {
    json!({
        "path": "/reservation.v1.InventoryService/ReleaseHold",
        "idempotency-key": null,
        "body": {
            "reservation_id": reservation_id,
            "event_id": "evt_1",
            "seat_ids": seat_ids,
            "quantity": quantity,
            "reason": reason,
            "idempotency_key": format!("{reservation_id}:RELEASE"),
        },
    })
}

/// `CommitReservation` of these seats of `evt_1`, for `user_1`'s payment `pay_1`.
fn commit(reservation_id: &str, seat_ids: &[String]) -> Value {
    json!({
        "path": "/reservation.v1.InventoryService/CommitReservation",
        "idempotency-key": null,
        "body": {
            "reservation_id": reservation_id,
            "event_id": "evt_1",
            "seat_ids": seat_ids,
            "quantity": seat_ids.len(),
            "payment_intent_id": "pay_1",
            "user_id": "user_1",
            "idempotency_key": format!("{reservation_id}:COMMIT"),
        },
    })
}

/// The calls that a type asks for, of a hold made by [`TestApp::hold`].
fn calls_of(event_type: &str, reservation_id: &str) -> Vec<Value> {
    let seats = seats_of(reservation_id);
    match event_type {
        "reservation.expired" | "reservation.hold.expired" => vec![
            status_update(reservation_id, "EXPIRED", json!({})),
            release(reservation_id, "EXPIRED", &seats, 2),
        ],
        "payment.approved" => vec![
            status_update(reservation_id, "CONFIRMED", json!({ "payment_intent_id": "pay_1" })),
            commit(reservation_id, &seats),
        ],
        "payment.failed" => vec![
            status_update(
                reservation_id,
                "CANCELLED",
                json!({ "reason": "payment_failed", "error_code": "CARD_DECLINED" }),
            ),
            release(reservation_id, "FAILED_PAYMENT", &seats, 2),
        ],
        other => panic!("{other} is no type"),
    }
}

/// The seats of a hold made by [`TestApp::hold`].
fn seats_of(reservation_id: &str) -> Vec<String> {
    ["A-1", "A-2"].map(|seat| format!("{reservation_id}/{seat}")).to_vec()
}

/// Creates a hold of these seats, or of so many of any, in `evt_1`.
fn hold(app: &TestApp, reservation_id: &str, seat_ids: &[String], quantity: Option<u32>) {
    let hold = Hold {
        reservation_id: reservation_id.to_owned(),
        event_id: "evt_1".to_owned(),
        user_id: Some("user_1".to_owned()),
        seat_ids: seat_ids.to_vec(),
        quantity,
    };
    app.services.create_hold(hold).unwrap();
}

/// An event in EventBridge's shape that is understood, with `facts` in the place of its own; its texts are
/// not for the log.
fn body(event_type: &str, facts: Value) -> Value {
    let known = json!({
        "reservation_id": "r1",
        "event_id": "evt_1",
        "payment_intent_id": "SECRET payment",
        "user_id": "SECRET user",
        "error_message": "SECRET message",
    });
    json!({ "id": "SECRET id", "detail-type": event_type, "detail": with(known, facts) })
}

/// [`body`] with one fact that is JSON to the letter, for what `serde_json::Value` cannot hold.
fn raw_body(event_type: &str, fact: &str, json: &str) -> Value {
    let place = body(event_type, json!({ fact: "HERE" })).to_string();
    Value::String(place.replace("\"HERE\"", json))
}

/// These members, and those of `more` besides or instead.
fn with(mut members: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("{more} is not an object");
    };
    members.as_object_mut().unwrap().extend(more);
    members
}

/// Each body must be refused with a reason that begins with the path of the field; nothing of what it says
/// may be in the log, and no service may be told of it. All that is wrong is shown at once.
async fn assert_refused(cases: impl IntoIterator<Item = (impl AsRef<str>, Value)>) {
    let app = TestApp::with(&[("LOG_LEVEL", "debug")]).await;
    let mut wrong = String::new();
    for (path, body) in cases {
        let path = path.as_ref();
        let ran = run(&app, &body).await;
        let (outcome, reason) = (ran.outcome("m1"), ran.reason("m1"));
        let refused = outcome == "invalid_payload" && ran.returned() == ["m1"];
        let well_named = reason.starts_with(&format!("{path}: ")) && reason.len() < 200;
        let told = app.services.take_calls().len();
        if !refused || !well_named || ran.text.contains("SECRET") || told > 0 {
            let shown: String = body.to_string().chars().take(400).collect();
            let line = ran.line("m1");
            wrong += &format!("\n{path} expected of {shown}\n  found {told} calls and {line}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
