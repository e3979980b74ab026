//! Event types that never need work: they are acknowledged without a call, whatever their facts are.

use serde_json::{Value, json};

use super::shapes::{SHAPES, all_facts};
use super::{run_event, with};
use crate::test_app::TestApp;

/// The types, each with the reason in the summary line.
const TYPES: [(&str, &str); 4] = [
    ("reservation.hold.created", "an event type that needs no work"),
    ("reservation.created", "an event type that needs no work"),
    ("reservation.confirmed", "an event type that needs no work"),
    ("worker.heartbeat", "a heartbeat, which needs no work"),
];

#[tokio::test]
async fn an_event_that_needs_no_work_is_acknowledged_without_a_call_in_every_shape() {
    let app = TestApp::new().await;
    app.hold("r1");
    for shape in &SHAPES {
        for (event_type, reason) in TYPES {
            let run = run_event(&app, &(shape.body)(event_type, all_facts("r1"))).await;
            let line = run.line("m1");
            assert_eq!((run.outcome("m1"), run.reason("m1")), ("ignored", reason), "{line}");
            assert_eq!(run.returned(), [""; 0]);
            assert_eq!((&line["event_type"], &line["level"]), (&json!(event_type), &json!("INFO")));
            assert_eq!(
                (&line["reservation_id"], &line["event_id"]),
                (&json!("r1"), &json!("evt_1")),
                "{line}"
            );
            assert!(line["reason_code"].is_null() && line["advice"].is_null(), "{line}");
        }
    }
    assert_eq!(app.services.calls(), []);
}

#[tokio::test]
async fn an_event_that_needs_no_work_needs_no_facts_and_no_valid_facts() {
    let app = TestApp::new().await;
    let facts = [
        json!({}),
        json!({ "reservation_id": "a/SECRET", "event_id": 7 }),
        json!({ "reservation_id": null, "seat_ids": "SECRET", "qty": -1 }),
        json!({ "trace_id": "SECRET", "traceId": 7 }),
    ];
    for (event_type, _) in TYPES {
        let mut bodies: Vec<_> = SHAPES
            .iter()
            .flat_map(|shape| facts.iter().map(move |facts| (shape.body)(event_type, facts.clone())))
            .collect();
        bodies.push(json!({ "detail-type": event_type }));
        bodies.push(json!({ "type": event_type, "detail": "SECRET" }));
        bodies.push(json!({ "type": event_type, "payload": [7] }));
        bodies.push(json!({ "type": event_type, "trace_id": "SECRET", "traceId": 7 }));
        let disagree = json!({ "reservation_id": "r1", "reservationId": "r2" });
        bodies.push(with(disagree.clone(), json!({ "type": event_type })));
        bodies.push(json!({ "type": event_type, "detail": disagree }));
        bodies.push(json!(
            json!({ "type": event_type })
                .to_string()
                .replace("{", r#"{"reservation_id":1,"reservation_id":2,"#)
        ));
        for body in bodies {
            let run = run_event(&app, &body).await;
            assert_eq!(run.outcome("m1"), "ignored", "{body}: {}", run.reason("m1"));
            assert_eq!(run.line("m1")["reservation_id"], Value::Null, "{body}");
            assert!(!run.text.contains("SECRET"), "{}", run.text);
        }
    }
    assert_eq!(app.services.calls(), []);
}

#[tokio::test]
async fn an_event_that_needs_no_work_and_lacks_a_reservation_is_logged_once_for_each_record() {
    let app = TestApp::new().await;
    let heartbeat = |id| (id, json!({ "type": "worker.heartbeat", "detail": {} }));
    let run = app.run(crate::test_app::sqs(["m1", "m2", "m3"].map(heartbeat))).await;
    for id in ["m1", "m2", "m3"] {
        assert_eq!(run.outcome(id), "ignored");
    }
    assert_eq!(run.returned(), [""; 0]);
}

#[tokio::test]
async fn the_published_creation_and_confirmation_are_acknowledged() {
    let app = TestApp::new().await;
    let ids = json!({
        "reservationId": "c9f30b17-ed5e-4c72-9089-6ba9377587e4", "eventId": "evt_1", "userId": "usr_1",
        "timestamp": "2026-11-22T02:48:53.766673212Z",
    });
    let created =
        json!({ "quantity": 2, "seatIds": ["A-12", "A-13"], "holdExpiresAt": "2026-11-22T02:49:53Z" });
    let confirmed = json!({ "orderId": "o-1", "amount": 200.0, "paymentIntentId": "pi_1" });
    for (event_type, facts) in [("reservation.created", created), ("reservation.confirmed", confirmed)] {
        let run =
            run_event(&app, &json!({ "detail-type": event_type, "detail": with(ids.clone(), facts) })).await;
        assert_eq!(run.outcome("m1"), "ignored");
        assert_eq!(run.line("m1")["reservation_id"], ids["reservationId"]);
    }
}
