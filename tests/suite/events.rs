//! Contract section 2: which bodies are valid, which calls they lead to, and how other bodies are refused.

use reservation_worker_local::{Call, Hold};
use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, sqs};

mod hostile;
mod identifiers;
mod no_work;
mod payments;
mod poison;
mod refusals;
mod seats;
mod shapes;
mod spellings;

/// Runs one event, which must succeed. Returns the calls that the services received, in order.
async fn calls_made_for(app: &TestApp, body: &Value) -> Vec<Value> {
    let run = run_event(app, body).await;
    assert_eq!(run.outcome("m1"), "success", "{}: {body}", run.reason("m1"));
    assert_eq!(run.returned(), [""; 0], "{body}");
    app.services.take_calls().iter().map(to_json).collect()
}

/// Runs a batch of one record, `m1`, with this body.
async fn run_event(app: &TestApp, body: &Value) -> BatchRun {
    app.run(sqs([("m1", body.clone())])).await
}

/// A call as JSON, without the headers that are the same for every event.
fn to_json(call: &Call) -> Value {
    json!({
        "path": call.path,
        "idempotency-key": call.headers.get("idempotency-key"),
        "body": call.body,
    })
}

/// The expected update of the status of a reservation. `more` are the fields of the body besides the status.
fn status_update(reservation_id: &str, status: &str, more: Value) -> Value {
    json!({
        "path": format!("/internal/reservations/{reservation_id}"),
        "idempotency-key": format!("{reservation_id}:{status}"),
        "body": with(json!({ "status": status }), more),
    })
}

/// The expected `ReleaseHold` call for these seats of `evt_1`.
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

/// The expected `CommitReservation` call for these seats of `evt_1`, for the payment `pay_1` of `user_1`.
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

/// The calls that an event type must lead to, for a hold made by [`TestApp::hold`].
fn expected_calls(event_type: &str, reservation_id: &str) -> Vec<Value> {
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
        other => panic!("{other} is not an event type that needs work"),
    }
}

/// The seats of a hold made by [`TestApp::hold`].
fn seats_of(reservation_id: &str) -> Vec<String> {
    ["A-1", "A-2"].map(|seat| format!("{reservation_id}/{seat}")).to_vec()
}

/// Creates a hold in `evt_1`, either of these seats or of a quantity of any seats.
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

/// A valid event in the EventBridge shape. `facts` are added to its facts or replace them. The log must not
/// contain its texts, which are marked with `SECRET`.
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

/// The same as [`body`] with one fact, whose value is the text `json` unchanged. That text may be one that
/// `serde_json::Value` cannot represent.
fn raw_body(event_type: &str, fact: &str, json: &str) -> Value {
    let template = body(event_type, json!({ fact: "PLACEHOLDER" })).to_string();
    Value::String(template.replace("\"PLACEHOLDER\"", json))
}

/// An object with these members. The members of `more` are added or replace members of the same name.
fn with(mut members: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("{more} is not an object");
    };
    members.as_object_mut().unwrap().extend(more);
    members
}

/// Asserts that each body is refused with a reason that begins with the path of the field, that nothing of
/// the body is logged, and that no service is called. Each case is a path and a body. The assertion reports
/// all failed cases.
async fn assert_refused(cases: impl IntoIterator<Item = (impl AsRef<str>, Value)>) {
    let app = TestApp::with(&[("LOG_LEVEL", "debug")]).await;
    let mut failed_cases = String::new();
    for (path, body) in cases {
        let path = path.as_ref();
        let run = run_event(&app, &body).await;
        let (outcome, reason) = (run.outcome("m1"), run.reason("m1"));
        let refused = outcome == "invalid_payload" && run.returned() == ["m1"];
        let names_the_field = reason.starts_with(&format!("{path}: ")) && reason.len() < 200;
        let calls = app.services.take_calls().len();
        if !refused || !names_the_field || run.text.contains("SECRET") || calls > 0 {
            let shown: String = body.to_string().chars().take(400).collect();
            let line = run.line("m1");
            failed_cases +=
                &format!("\nexpected a refusal of {path} for {shown}\n  found {calls} calls and {line}");
        }
    }
    assert!(failed_cases.is_empty(), "{failed_cases}");
}
