//! `reservation_id` and `event_id`: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`. The first is alphanumeric.

use reservation_worker_local::Hold;
use serde_json::{Value, json};

use super::shapes::TYPES;
use super::{assert_refused, body, calls_made_for, raw_body};
use crate::test_app::TestApp;

fn valid_ids() -> Vec<String> {
    let mut ids = ["7", "Z", "z", "a.", "a_", "a:", "a-", "0..", "a.b_c:d-E9", "r1", "rsv_01JCN4T7Q2"]
        .map(str::to_owned)
        .to_vec();
    ids.push("x".repeat(127));
    ids.push("9".repeat(128));
    ids.push(format!("r{}", "-".repeat(127)));
    ids
}

/// Values that are not valid identifiers.
fn invalid_ids() -> Vec<Value> {
    let mut values: Vec<_> = [
        // The first character is not alphanumeric.
        ".",
        "..",
        "_SECRET",
        ":SECRET",
        "-SECRET",
        ".SECRET",
        // Path syntax.
        "../SECRET",
        "SECRET/../x",
        "a/SECRET",
        "/SECRET",
        "SECRET/",
        "a\\SECRET",
        // URL syntax.
        "a?SECRET",
        "a#SECRET",
        "a%2FSECRET",
        "a%",
        "a;SECRET",
        "a&SECRET=1",
        "a@SECRET",
        // White space.
        " SECRET",
        "SECRET ",
        "a SECRET",
        "a\tSECRET",
        "a\nSECRET",
        "a\r\nSECRET",
        "SECRET\n",
        // Control characters.
        "a\0SECRET",
        "a\u{1b}[31mSECRET",
        "a\u{7f}SECRET",
        "a\u{85}SECRET",
        // Characters outside ASCII.
        "räuberSECRET",
        "ａSECRET",
        "좌석SECRET",
        "a\u{202e}SECRET",
        "a\u{200b}SECRET",
        "😀SECRET",
        // Other punctuation.
        "a\"SECRET",
        "a'SECRET",
        "a<SECRET>",
        "a,SECRET",
        "a+SECRET",
        "a=SECRET",
        "a*SECRET",
        "a|SECRET",
    ]
    .map(Value::from)
    .to_vec();
    values.push("SECRET".repeat(22)[..129].into());
    values.push("SECRET".repeat(10_000).into());
    values.extend([json!(7), json!(7.5), json!(true), json!(["SECRET"]), json!({ "SECRET": "SECRET" })]);
    values
}

#[tokio::test]
async fn a_valid_reservation_id_is_passed_on_unchanged() {
    let app = TestApp::new().await;
    for id in valid_ids() {
        app.hold(&id);
        let event = body("reservation.expired", json!({ "reservation_id": id }));
        assert_eq!(calls_made_for(&app, &event).await, super::expected_calls("reservation.expired", &id));
    }
}

#[tokio::test]
async fn a_valid_event_id_is_passed_on_unchanged() {
    let app = TestApp::new().await;
    for (number, event_id) in valid_ids().into_iter().enumerate() {
        let reservation_id = format!("r{number}");
        let hold = Hold {
            reservation_id: reservation_id.clone(),
            event_id: event_id.clone(),
            user_id: None,
            seat_ids: vec!["A-1".to_owned()],
            quantity: None,
        };
        app.services.create_hold(hold).unwrap();
        let facts = json!({ "reservation_id": reservation_id, "event_id": event_id, "seat_ids": ["A-1"] });
        let calls = calls_made_for(&app, &body("reservation.expired", facts)).await;
        assert_eq!(calls[1]["body"]["event_id"], event_id);
    }
}

#[tokio::test]
async fn an_invalid_reservation_id_is_refused() {
    let invalid_ids = invalid_ids();
    let cases = TYPES.iter().flat_map(|event_type| {
        let bodies = invalid_ids.iter().map(|id| body(event_type, json!({ "reservation_id": id })));
        bodies.map(|body| ("detail.reservation_id", body))
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn an_invalid_event_id_is_refused() {
    let invalid_ids = invalid_ids();
    let cases = TYPES.iter().flat_map(|event_type| {
        let bodies = invalid_ids.iter().map(|id| body(event_type, json!({ "event_id": id })));
        bodies.map(|body| ("detail.event_id", body))
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn invalid_characters_are_refused_if_they_are_escaped_in_json() {
    let escaped = [r#""a\u0000SECRET""#, r#""a\u000d\u000aSECRET""#, r#""a\/SECRET""#, r#""\u002e\u002e""#];
    let cases = escaped.iter().flat_map(|json| {
        let body = |field| raw_body("reservation.expired", field, json);
        [("detail.reservation_id", body("reservation_id")), ("detail.event_id", body("event_id"))]
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn a_missing_or_empty_reservation_id_is_refused() {
    let cases = TYPES.iter().flat_map(|event_type| {
        let mut without_id = body(event_type, json!({}));
        without_id["detail"].as_object_mut().unwrap().remove("reservation_id");
        let bodies = [
            without_id,
            body(event_type, json!({ "reservation_id": null })),
            body(event_type, json!({ "reservation_id": "" })),
        ];
        bodies.map(|body| ("detail.reservation_id", body))
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn the_event_id_is_optional_in_every_event() {
    let app = TestApp::new().await;
    for event_type in TYPES {
        for (name, event_id) in [("absent", None), ("null", Some(Value::Null)), ("empty", Some(json!("")))] {
            let id = format!("{event_type}.{name}");
            app.hold(&id);
            let mut event = body(
                event_type,
                json!({
                    "reservation_id": id,
                    "user_id": "user_1",
                    "payment_intent_id": "pay_1",
                    "error_code": "CARD_DECLINED",
                }),
            );
            match event_id {
                Some(value) => event["detail"]["event_id"] = value,
                None => drop(event["detail"].as_object_mut().unwrap().remove("event_id")),
            }
            assert_eq!(calls_made_for(&app, &event).await, super::expected_calls(event_type, &id), "{event}");
        }
    }
}
