//! Payment events: the shape and the statuses of the payment simulator, and the facts of a payment.

use serde_json::{Value, json};

use super::{
    assert_refused, body, calls_made_for, commit, release, run_event, seats_of, status_update, to_json, with,
};
use crate::test_app::TestApp;

/// An event of the payment simulator with all its fields.
fn simulator_event(reservation_id: &str, status: &str) -> Value {
    json!({
        "version": "0",
        "id": "2fb60d2d-37a3-4d2b-9a5f-5b8f5a2c1d00",
        "detail-type": "Payment Status Updated",
        "source": "payment.service",
        "account": "123456789012",
        "time": "2026-11-14T11:04:25Z",
        "region": "ap-northeast-2",
        "resources": [],
        "detail": {
            "event_type": "payment.status_updated",
            "payment_id": "pay_1",
            "reservation_id": reservation_id,
            "user_id": "user_1",
            "status": status,
            "amount": 264_000,
            "currency": "KRW",
            "timestamp": "2026-11-14T11:04:25.715Z",
        },
    })
}

/// An event of the payment simulator. `facts` are added to its facts or replace them.
fn simulator_event_with(facts: Value) -> Value {
    let mut body = simulator_event("r1", "PAYMENT_STATUS_COMPLETED");
    body["detail"] = with(body["detail"].take(), facts);
    body
}

#[tokio::test]
async fn a_completed_or_approved_payment_confirms_the_reservation() {
    let app = TestApp::new().await;
    for status in ["PAYMENT_STATUS_COMPLETED", "PAYMENT_STATUS_APPROVED"] {
        app.hold(status);
        let expected = [
            status_update(status, "CONFIRMED", json!({ "payment_intent_id": "pay_1" })),
            commit(status, &seats_of(status)),
        ];
        assert_eq!(calls_made_for(&app, &simulator_event(status, status)).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_failed_cancelled_or_expired_payment_cancels_the_reservation() {
    let app = TestApp::new().await;
    for status in ["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_CANCELLED", "PAYMENT_STATUS_EXPIRED"] {
        app.hold(status);
        let expected = [
            status_update(status, "CANCELLED", json!({ "reason": "payment_failed" })),
            release(status, "FAILED_PAYMENT", &seats_of(status), 2),
        ];
        assert_eq!(calls_made_for(&app, &simulator_event(status, status)).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_pending_processing_or_refunded_payment_is_acknowledged_without_a_call() {
    let app = TestApp::new().await;
    for status in ["PAYMENT_STATUS_PENDING", "PAYMENT_STATUS_PROCESSING", "PAYMENT_STATUS_REFUNDED"] {
        app.hold(status);
        let run = run_event(&app, &simulator_event(status, status)).await;
        assert_eq!(run.outcome("m1"), "ignored", "{status}");
        assert_eq!(run.returned(), [""; 0], "{status}");
    }
    assert_eq!(app.services.calls(), []);
}

#[tokio::test]
async fn an_event_of_the_simulator_may_be_a_json_string() {
    let app = TestApp::new().await;
    app.hold("r1");
    let body =
        Value::String(Value::String(simulator_event("r1", "PAYMENT_STATUS_FAILED").to_string()).to_string());
    let expected = [
        status_update("r1", "CANCELLED", json!({ "reason": "payment_failed" })),
        release("r1", "FAILED_PAYMENT", &seats_of("r1"), 2),
    ];
    assert_eq!(calls_made_for(&app, &body).await, expected);
}

#[tokio::test]
async fn an_unknown_payment_status_is_refused() {
    let unknown = [
        json!("PAYMENT_STATUS_SECRET"),
        json!("PAYMENT_STATUS_UNSPECIFIED"),
        json!("PAYMENT_STATUS_"),
        json!("payment_status_completed"),
        json!("COMPLETED"),
        json!("APPROVED"),
        json!(""),
        json!(2),
        json!(["SECRET"]),
        Value::Null,
    ];
    assert_refused(
        unknown.map(|status| ("detail.status", simulator_event_with(json!({ "status": status })))),
    )
    .await;
}

#[tokio::test]
async fn an_unknown_event_type_of_the_simulator_is_refused() {
    let unknown = [
        json!("payment.SECRET"),
        json!("payment.approved"),
        json!("Payment Status Updated"),
        json!(7),
        Value::Null,
    ];
    assert_refused(
        unknown.map(|event_type| {
            ("detail.event_type", simulator_event_with(json!({ "event_type": event_type })))
        }),
    )
    .await;
}

#[tokio::test]
async fn invalid_facts_of_the_simulator_are_refused() {
    assert_refused([
        ("detail.reservation_id", simulator_event_with(json!({ "reservation_id": "a/SECRET" }))),
        ("detail.reservation_id", simulator_event_with(json!({ "reservation_id": null }))),
        (
            "detail.reservation_id",
            simulator_event_with(json!({ "reservation_id": null, "status": "PAYMENT_STATUS_PENDING" })),
        ),
        ("detail.payment_id", simulator_event_with(json!({ "payment_id": 7 }))),
        ("detail.event_id", simulator_event_with(json!({ "event_id": "SECRET SECRET" }))),
    ])
    .await;
}

#[tokio::test]
async fn a_payment_is_identified_by_payment_intent_id_or_payment_id() {
    let cases = [
        (json!({ "payment_intent_id": "pi/1 ü\"\\" }), "pi/1 ü\"\\"),
        (json!({ "payment_intent_id": null, "payment_id": "pay_2" }), "pay_2"),
        (json!({ "payment_intent_id": "pi_3", "payment_id": "pay_3" }), "pi_3"),
    ];
    let app = TestApp::new().await;
    for (number, (facts, expected)) in cases.into_iter().enumerate() {
        let id = format!("r{number}");
        app.hold(&id);
        let body = body("payment.approved", with(facts, json!({ "reservation_id": id })));
        let calls = calls_made_for(&app, &body).await;
        let payments = calls.iter().map(|call| &call["body"]["payment_intent_id"]);
        assert_eq!(payments.collect::<Vec<_>>(), [expected, expected], "{body}");
    }
}

#[tokio::test]
async fn a_payment_approved_event_without_a_valid_payment_id_is_refused() {
    let approval = |facts| body("payment.approved", with(json!({ "payment_intent_id": null }), facts));
    assert_refused([
        ("detail.payment_intent_id", approval(json!({}))),
        ("detail.payment_intent_id", approval(json!({ "payment_intent_id": "" }))),
        ("detail.payment_intent_id", approval(json!({ "payment_intent_id": 7 }))),
        ("detail.payment_intent_id", approval(json!({ "payment_intent_id": ["SECRET"] }))),
        ("detail.payment_id", approval(json!({ "payment_id": { "SECRET": 1 } }))),
    ])
    .await;
}

#[tokio::test]
async fn a_payment_failed_event_needs_neither_a_payment_id_nor_an_error_code() {
    let app = TestApp::new().await;
    app.hold("r1");
    let expected = [
        status_update("r1", "CANCELLED", json!({ "reason": "payment_failed" })),
        release("r1", "FAILED_PAYMENT", &seats_of("r1"), 2),
    ];
    let body = json!({ "type": "payment.failed", "reservation_id": "r1" });
    assert_eq!(calls_made_for(&app, &body).await, expected);
}

#[tokio::test]
async fn the_user_id_and_the_error_code_may_be_numbers() {
    let app = TestApp::new().await;
    app.hold("r1");
    let failed = json!({ "type": "payment.failed", "reservation_id": "r1", "error_code": 51 });
    let calls = calls_made_for(&app, &failed).await;
    assert_eq!(calls[0]["body"]["error_code"], "51");

    app.hold("r2");
    let approved =
        with(simulator_event("r2", "PAYMENT_STATUS_APPROVED")["detail"].take(), json!({ "user_id": 7 }));
    run_event(&app, &json!({ "detail-type": "Payment Status Updated", "detail": approved })).await;
    let calls = app.services.take_calls();
    assert_eq!(to_json(calls.last().unwrap())["body"]["user_id"], "7");
}

#[tokio::test]
async fn facts_of_a_payment_event_take_precedence_over_facts_of_the_reservation() {
    let app = TestApp::new().await;
    app.hold("r1");
    let facts = json!({
        "reservation_id": "r1",
        "event_id": "evt_2",
        "seat_ids": ["B-1"],
        "payment_intent_id": "pay_1",
        "user_id": "user_2",
    });
    // The inventory refuses the call, because these seats are not in the hold. The test examines only the
    // request.
    run_event(&app, &json!({ "detail-type": "payment.approved", "detail": facts })).await;
    let request = to_json(app.services.take_calls().last().unwrap());
    let expected = json!({
        "event_id": "evt_2",
        "seat_ids": ["B-1"],
        "quantity": 1,
        "user_id": "user_2",
    });
    assert_eq!(with(request["body"].clone(), expected), request["body"]);
}
