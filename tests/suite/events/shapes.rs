//! The event shapes: where each shape has the type and the facts. `payments` tests the shape of the payment
//! simulator.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{calls_made_for, expected_calls, with};
use crate::event_types::names_of_types_that_need_work;
use crate::test_app::TestApp;

/// An event shape with the worker's own event types.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// The path of the type.
    pub(super) type_path: &'static str,
    /// The prefix of the paths of `reservation_id` and `event_id`.
    pub(super) id_prefix: &'static str,
    /// The prefix of the paths of the other facts.
    pub(super) fact_prefix: &'static str,
    /// Returns a body with this type, these facts, and every other field of the shape.
    pub(super) body: fn(&str, Value) -> Value,
}

pub(super) const SHAPES: [Shape; 4] = [
    Shape {
        name: "eventbridge",
        type_path: "detail-type",
        id_prefix: "detail.",
        fact_prefix: "detail.",
        body: eventbridge,
    },
    Shape {
        name: "envelope",
        type_path: "type",
        id_prefix: "detail.",
        fact_prefix: "detail.",
        body: envelope,
    },
    Shape { name: "flat", type_path: "type", id_prefix: "", fact_prefix: "payload.", body: flat },
    Shape { name: "bare", type_path: "type", id_prefix: "", fact_prefix: "", body: bare },
];

pub(super) const TYPES: [&str; 4] =
    ["reservation.expired", "reservation.hold.expired", "payment.approved", "payment.failed"];

fn eventbridge(event_type: &str, facts: Value) -> Value {
    json!({
        "version": "0",
        "id": "2fb60d2d-37a3-4d2b-9a5f-5b8f5a2c1d00",
        "detail-type": event_type,
        "source": "reservation-service",
        "account": "123456789012",
        "time": "2026-11-14T11:02:50Z",
        "region": "ap-northeast-2",
        "resources": [],
        "detail": facts,
    })
}

pub(super) fn envelope(event_type: &str, facts: Value) -> Value {
    json!({
        "id": "2fb60d2d-37a3-4d2b-9a5f-5b8f5a2c1d00",
        "type": event_type,
        "source": "reservation-service",
        "detail": facts,
        "time": "2026-11-14T11:02:50.652Z",
        "trace_id": "930eb9a790c7cb0c3a3c48f5434819ba",
        "version": "1.0",
        "region": "ap-northeast-2",
        "account": "123456789012",
    })
}

fn flat(event_type: &str, mut facts: Value) -> Value {
    let mut flat = json!({
        "id": "2fb60d2d-37a3-4d2b-9a5f-5b8f5a2c1d00",
        "type": event_type,
        "ts": "2026-11-14T11:02:50.652Z",
    });
    for id in ["reservation_id", "event_id"] {
        if let Some(value) = facts.as_object_mut().unwrap().remove(id) {
            flat[id] = value;
        }
    }
    flat["payload"] = facts;
    flat
}

fn bare(event_type: &str, facts: Value) -> Value {
    with(facts, json!({ "type": event_type }))
}

/// All facts in the contract, for a hold made by [`TestApp::hold`].
pub(super) fn all_facts(reservation_id: &str) -> Value {
    json!({
        "reservation_id": reservation_id,
        "event_id": "evt_1",
        "seat_ids": super::seats_of(reservation_id),
        "qty": 2,
        "payment_intent_id": "pay_1",
        "amount": 264_000,
        "currency": "KRW",
        "user_id": "user_1",
        "error_code": "CARD_DECLINED",
        "error_message": "The card was declined.",
        "expires_at": "2026-11-14T11:02:50.652Z",
    })
}

/// The facts that an event type requires. A failed payment also has the error code in [`expected_calls`].
pub(super) fn required_facts(event_type: &str, reservation_id: &str) -> Value {
    let more = match event_type {
        "payment.approved" => json!({ "payment_intent_id": "pay_1" }),
        "payment.failed" => json!({ "error_code": "CARD_DECLINED" }),
        _ => json!({}),
    };
    with(json!({ "reservation_id": reservation_id }), more)
}

#[test]
fn the_list_of_types_contains_every_name_of_a_type_that_needs_work() {
    assert_eq!(BTreeSet::from(TYPES.map(str::to_owned)), names_of_types_that_need_work());
}

#[tokio::test]
async fn every_event_type_is_processed_in_every_shape() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            let id = format!("{}.{event_type}", shape.name);
            app.hold(&id);
            let body = (shape.body)(event_type, all_facts(&id));
            assert_eq!(calls_made_for(&app, &body).await, expected_calls(event_type, &id), "{id}");
        }
    }
}

#[tokio::test]
async fn a_body_may_be_a_json_string_that_contains_the_object() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for (number, space) in ["", " \r\n\t"].into_iter().enumerate() {
            let id = format!("{}.{number}", shape.name);
            app.hold(&id);
            let object = (shape.body)("payment.approved", all_facts(&id)).to_string();
            let quoted = Value::String(format!("{space}{object}{space}")).to_string();
            let body = Value::String(format!("{space}{quoted}{space}"));
            assert_eq!(calls_made_for(&app, &body).await, expected_calls("payment.approved", &id), "{id}");
        }
    }
}

#[tokio::test]
async fn the_required_fields_of_a_shape_are_sufficient() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            let id = format!("{}.{event_type}", shape.name);
            app.hold(&id);
            let mut body = (shape.body)(event_type, required_facts(event_type, &id));
            for unneeded in
                ["id", "version", "source", "account", "time", "ts", "region", "resources", "trace_id"]
            {
                body.as_object_mut().unwrap().remove(unneeded);
            }
            // The reply to the status update has the ticketed event and the seats, so the reservation is
            // not read.
            assert_eq!(calls_made_for(&app, &body).await, expected_calls(event_type, &id), "{body}");
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_at_the_top_level_and_among_the_facts() {
    let unknown = json!({
        "": 0,
        "detailType": 1,
        "event_type": ["only", "the", "simulator", "has", "this", "field"],
        "status": 200,
        "metadata": { "reservation_id": "../other", "seat_ids": 1 },
        "SeatIds": [1, 2, 3],
        "seat-ids": "none",
        "nothing": null,
        "precise": 1.5e300,
    });
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            let id = format!("{}.{event_type}", shape.name);
            app.hold(&id);
            let facts = with(unknown.clone(), all_facts(&id));
            let body = with(unknown.clone(), (shape.body)(event_type, facts));
            assert_eq!(calls_made_for(&app, &body).await, expected_calls(event_type, &id), "{id}");
        }
    }
}

#[tokio::test]
async fn facts_in_the_wrong_object_are_ignored() {
    let app = TestApp::new().await;
    for shape in &SHAPES[..2] {
        app.hold(shape.name);
        let misplaced = json!({ "reservation_id": "other", "event_id": 7, "seat_ids": ["x"], "qty": "many" });
        let body = with((shape.body)("reservation.expired", all_facts(shape.name)), misplaced.clone());
        let body = with(body, json!({ "payload": misplaced }));
        assert_eq!(calls_made_for(&app, &body).await, expected_calls("reservation.expired", shape.name));
    }
}

#[tokio::test]
async fn a_null_field_is_treated_as_absent() {
    let nulls = json!({
        "event_id": null,
        "seat_ids": null,
        "qty": null,
        "quantity": null,
        "payment_id": null,
        "user_id": null,
        "error_code": null,
        "error_message": null,
        "amount": null,
        "currency": null,
        "expires_at": null,
    });
    let envelope_nulls = json!({ "id": null, "time": null, "ts": null, "trace_id": null });
    let app = TestApp::new().await;
    for shape in &SHAPES {
        app.hold(shape.name);
        let facts = with(nulls.clone(), required_facts("payment.approved", shape.name));
        let mut body = with((shape.body)("payment.approved", facts), envelope_nulls.clone());
        for field in ["detail-type", "type", "detail", "payload"] {
            let members = body.as_object_mut().unwrap();
            members.entry(field).or_insert(Value::Null);
        }
        assert_eq!(
            calls_made_for(&app, &body).await,
            expected_calls("payment.approved", shape.name),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_id_of_the_envelope_is_never_used_as_the_event_id() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            let id = format!("{}.{event_type}", shape.name);
            app.hold(&id);
            let facts = required_facts(event_type, &id);
            let body = with((shape.body)(event_type, facts), json!({ "id": "evt_of_the_envelope" }));
            assert_eq!(calls_made_for(&app, &body).await[1]["body"]["event_id"], "evt_1", "{body}");
        }
    }
}
