//! The field that the reason of a refusal names, and unknown event types.

use serde_json::{Value, json};

use super::shapes::{SHAPES, all_facts, envelope, required_facts};
use super::{assert_refused, body, run_event, with};
use crate::test_app::TestApp;

#[tokio::test]
async fn a_refusal_names_the_field_by_its_path_in_every_shape() {
    let mut cases = Vec::new();
    for shape in &SHAPES {
        let refused = [
            (shape.id_prefix, "reservation_id", json!("a/SECRET")),
            (shape.id_prefix, "reservation_id", Value::Null),
            (shape.id_prefix, "event_id", json!("a/SECRET")),
            (shape.fact_prefix, "seat_ids", json!("SECRET")),
            (shape.fact_prefix, "seat_ids", json!(["A-1", 7])),
            (shape.fact_prefix, "qty", json!(0)),
            (shape.fact_prefix, "quantity", json!("SECRET")),
            (shape.fact_prefix, "payment_intent_id", json!(["SECRET"])),
            (shape.fact_prefix, "payment_intent_id", Value::Null),
            (shape.fact_prefix, "payment_id", json!(7)),
        ];
        for (prefix, field, value) in refused {
            let index = if value == json!(["A-1", 7]) { "[1]" } else { "" };
            let mut facts = required_facts("payment.approved", "r1");
            if field == "payment_id" {
                facts.as_object_mut().unwrap().remove("payment_intent_id");
            }
            let body = (shape.body)("payment.approved", with(facts, json!({ field: value })));
            cases.push((format!("{prefix}{field}{index}"), body));
        }
    }
    assert_refused(cases).await;
}

#[tokio::test]
async fn an_unknown_type_is_refused_in_every_shape() {
    let unknown = [
        json!("reservation.SECRET"),
        json!("reservation.updated"),
        json!("reservation.created "),
        json!("worker.SECRET"),
        json!("reservation.expired "),
        json!("Reservation.Expired"),
        json!("RESERVATION_EXPIRED"),
        json!("payment.status_updated"),
        json!("payment.refunded"),
        json!("payment"),
        json!(""),
        json!(7),
        json!(["SECRET"]),
        json!({ "SECRET": "reservation.expired" }),
        json!(true),
        Value::Null,
    ];
    for shape in &SHAPES {
        let cases = unknown.iter().map(|event_type| {
            let body = (shape.body)("", all_facts("r1"));
            let path = if event_type.is_null() { "type" } else { shape.type_path };
            (path, with(body, json!({ shape.type_path: event_type })))
        });
        assert_refused(cases).await;
    }
    // The type of the simulator's events is valid in the EventBridge shape only.
    let simulator_type_in_envelope = envelope("Payment Status Updated", all_facts("r1"));
    assert_refused([("type", simulator_type_in_envelope)]).await;
}

#[tokio::test]
async fn a_body_without_a_type_is_refused() {
    assert_refused([
        ("type", json!({})),
        ("type", json!({ "detail": { "type": "reservation.expired", "reservation_id": "r1" } })),
        ("type", json!({ "reservation_id": "SECRET", "event_id": "evt_1" })),
        ("type", json!({ "Type": "reservation.expired", "reservation_id": "SECRET" })),
    ])
    .await;
}

#[tokio::test]
async fn a_detail_or_payload_that_is_not_an_object_is_refused() {
    let mut cases = vec![
        ("detail", json!({ "detail-type": "payment.failed", "reservation_id": "r1" })),
        ("detail", with(body("payment.failed", json!({})), json!({ "detail": null }))),
    ];
    for not_an_object in [
        json!("SECRET"),
        json!("{\"reservation_id\":\"SECRET\"}"),
        json!(7),
        json!(true),
        json!([{ "reservation_id": "SECRET" }]),
    ] {
        cases.extend([
            ("detail", json!({ "detail-type": "payment.failed", "detail": not_an_object })),
            ("detail", json!({ "type": "payment.failed", "detail": not_an_object })),
            (
                "payload",
                json!({ "type": "payment.failed", "reservation_id": "r1", "payload": not_an_object }),
            ),
        ]);
    }
    assert_refused(cases).await;
}

#[tokio::test]
async fn the_summary_line_of_a_refused_event_has_its_trace_id() {
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let refused = with(body("reservation.expired", json!({ "qty": 0 })), json!({ "trace_id": trace_id }));
    let run = run_event(&TestApp::new().await, &refused).await;
    assert_eq!((run.outcome("m1"), &run.line("m1")["trace_id"]), ("invalid_payload", &json!(trace_id)));
}
