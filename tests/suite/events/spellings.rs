//! Each fact has a name in snake_case and a name in camelCase. The two must not disagree.

use serde_json::{Map, Value, json};

use super::shapes::{SHAPES, TYPES, all_facts, envelope, required_facts};
use super::{assert_refused, calls_made_for, expected_calls, run_event, with};
use crate::test_app::TestApp;

/// The two names of each fact whose names differ.
const SPELLINGS: [(&str, &str); 9] = [
    ("reservation_id", "reservationId"),
    ("event_id", "eventId"),
    ("seat_ids", "seatIds"),
    ("payment_intent_id", "paymentIntentId"),
    ("payment_id", "paymentId"),
    ("user_id", "userId"),
    ("error_code", "errorCode"),
    ("error_message", "errorMessage"),
    ("expires_at", "expiresAt"),
];

/// The same facts under their names in camelCase.
fn in_camel_case(facts: &Value) -> Value {
    let renamed = facts.as_object().unwrap().iter().map(|(name, value)| {
        let camel =
            SPELLINGS.iter().find(|(snake, _)| snake == name).map_or(name.as_str(), |(_, camel)| camel);
        (camel.to_owned(), value.clone())
    });
    Value::Object(renamed.collect::<Map<_, _>>())
}

#[tokio::test]
async fn every_fact_may_be_in_camel_case_in_every_shape() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            for (name, facts) in
                [("all", all_facts as fn(&str) -> Value), ("id", |id| json!({ "reservation_id": id }))]
            {
                let id = format!("{}.{event_type}.{name}", shape.name);
                app.hold(&id);
                let mut facts = in_camel_case(&facts(&id));
                if name == "id" {
                    facts = with(facts, in_camel_case(&required_facts(event_type, &id)));
                }
                let body = (shape.body)(event_type, facts);
                assert_eq!(calls_made_for(&app, &body).await, expected_calls(event_type, &id), "{body}");
            }
        }
    }
}

#[tokio::test]
async fn the_input_of_a_schedule_may_contain_only_the_type_and_the_reservation_id() {
    let app = TestApp::new().await;
    app.hold("rsv_abc123");
    let body = json!({ "type": "reservation.expired", "reservationId": "rsv_abc123" });
    assert_eq!(calls_made_for(&app, &body).await, expected_calls("reservation.expired", "rsv_abc123"));
}

#[tokio::test]
async fn both_spellings_of_a_fact_may_occur_if_they_agree_or_one_is_empty() {
    let app = TestApp::new().await;
    for shape in &SHAPES {
        for event_type in TYPES {
            let id = format!("{}.{event_type}", shape.name);
            app.hold(&id);
            let facts = with(in_camel_case(&all_facts(&id)), all_facts(&id));
            let body = (shape.body)(event_type, facts);
            assert_eq!(calls_made_for(&app, &body).await, expected_calls(event_type, &id), "{body}");
        }
    }
    for (number, empty) in [
        json!({ "event_id": "", "seat_ids": [], "user_id": "", "payment_intent_id": "" }),
        json!({ "event_id": null, "seat_ids": null, "user_id": null, "payment_intent_id": null }),
        json!({ "eventId": "", "seatIds": [], "userId": "", "paymentIntentId": null }),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("r{number}");
        app.hold(&id);
        let facts = all_facts(&id);
        let facts = if empty["eventId"].is_null() { in_camel_case(&facts) } else { facts };
        let body = json!({ "type": "payment.approved", "detail": with(facts, empty) });
        assert_eq!(calls_made_for(&app, &body).await, expected_calls("payment.approved", &id), "{body}");
    }
}

#[tokio::test]
async fn spellings_with_the_same_value_agree_whatever_their_json_text_is() {
    let app = TestApp::new().await;
    app.hold("r1");
    let body = r#"{"type":"payment.failed","reservation_id":"r1","reservationId":"\u00721",
        "seat_ids":["r1/A-1","r1/A-2"],"seatIds":[ "r1/A-1", "r1\/A-2" ],"error_code":51,"errorCode":51}"#;
    let calls = calls_made_for(&app, &json!(body)).await;
    assert_eq!(calls[0]["body"]["error_code"], "51");
    assert_eq!(calls[1]["body"]["seat_ids"], json!(["r1/A-1", "r1/A-2"]));
}

#[tokio::test]
async fn spellings_that_disagree_are_refused_for_every_fact_in_every_shape() {
    let mut cases = Vec::new();
    for shape in &SHAPES {
        for (snake, camel) in SPELLINGS {
            for other in [json!("SECRET"), json!(7), json!(["SECRET"]), json!({ "SECRET": 1 })] {
                let mut facts = with(all_facts("r1"), json!({ "payment_id": "pay_1" }));
                facts[camel] = other;
                // The helper that builds the flat shape moves the ids in snake_case only.
                let prefix = match (shape.name, snake) {
                    ("flat", "reservation_id" | "event_id") => continue,
                    _ => shape.fact_prefix,
                };
                cases.push((format!("{prefix}{snake}"), (shape.body)("payment.approved", facts)));
            }
        }
    }
    for (snake, camel) in &SPELLINGS[..2] {
        let flat = json!({ "type": "payment.failed", *snake: "r1", *camel: "SECRET", "payload": {} });
        cases.push(((*snake).to_owned(), flat));
    }
    assert_refused(cases).await;
}

#[tokio::test]
async fn trace_ids_that_disagree_are_refused_in_the_envelope_and_among_the_facts() {
    let both = json!({ "trace_id": "SECRET 1", "traceId": "SECRET 2" });
    let facts = with(all_facts("r1"), both.clone());
    assert_refused([
        ("trace_id", with(envelope("payment.failed", all_facts("r1")), both)),
        ("detail.trace_id", envelope("payment.failed", facts.clone())),
        ("trace_id", with(facts, json!({ "type": "payment.failed" }))),
    ])
    .await;
}

#[tokio::test]
async fn spellings_in_different_objects_do_not_have_to_agree() {
    let app = TestApp::new().await;
    app.hold("r1");
    let misplaced = json!({ "reservationId": "other", "eventId": 7, "seatIds": "none" });
    let body = with(envelope("reservation.expired", all_facts("r1")), misplaced.clone());
    assert_eq!(calls_made_for(&app, &body).await, expected_calls("reservation.expired", "r1"));

    app.hold("r2");
    let body = json!({
        "type": "payment.failed", "reservationId": "r2", "eventId": "evt_1", "payload": with(all_facts("r2"), json!({ "event_id": "evt_2" })),
    });
    assert_eq!(calls_made_for(&app, &body).await[1]["body"]["event_id"], "evt_1", "the first object counts");
}

#[tokio::test]
async fn a_refusal_names_the_field_in_the_spelling_of_the_body() {
    let without_snake_case = |fact: Value| {
        let mut detail = with(in_camel_case(&all_facts("r1")), fact);
        detail.as_object_mut().unwrap().remove("seat_ids");
        json!({ "type": "payment.approved", "detail": detail })
    };
    assert_refused([
        ("detail.reservationId", without_snake_case(json!({ "reservationId": "a/SECRET" }))),
        ("detail.eventId", without_snake_case(json!({ "eventId": "../SECRET" }))),
        ("detail.seatIds", without_snake_case(json!({ "seatIds": "SECRET" }))),
        ("detail.seatIds[1]", without_snake_case(json!({ "seatIds": ["A-1", ""] }))),
        ("detail.paymentIntentId", without_snake_case(json!({ "paymentIntentId": 7 }))),
        ("detail.userId", without_snake_case(json!({ "userId": ["SECRET"] }))),
        (
            "detail.reservationId",
            json!(r#"{"type":"payment.failed","detail":{"reservationId":"r1","reservationId":"r1"}}"#),
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_trace_id_may_be_in_camel_case() {
    let trace_id = "930eb9a790c7cb0c3a3c48f5434819ba";
    let app = TestApp::new().await;
    app.hold("r1");
    let mut envelope = envelope("reservation.expired", all_facts("r1"));
    envelope.as_object_mut().unwrap().remove("trace_id");
    let in_detail = json!({ "detail-type": "reservation.expired", "detail": with(all_facts("r1"), json!({ "traceId": trace_id })) });
    for body in [with(envelope, json!({ "traceId": trace_id })), in_detail] {
        let run = run_event(&app, &body).await;
        assert_eq!((run.outcome("m1"), &run.line("m1")["trace_id"]), ("success", &json!(trace_id)), "{body}");
    }
}
