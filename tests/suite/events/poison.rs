//! Bodies that are not events. Each such body fails its own record and no other.

use serde_json::{Value, json};

use super::{assert_refused, body, calls_made_for, raw_body};
use crate::test_app::{TestApp, expired, record};

/// Bodies that are not JSON objects, or that cannot be read. Each has a name, the path that its reason
/// begins with, and its text.
fn poison() -> Vec<(&'static str, &'static str, String)> {
    let valid = body("reservation.expired", json!({ "user_id": "SECRET" })).to_string();
    let truncated = |length: usize| valid[..length].to_owned();
    let as_string = |text: &str| Value::String(text.to_owned()).to_string();
    vec![
        ("empty", "body", String::new()),
        ("spaces", "body", " \r\n\t".to_owned()),
        ("text", "body", "SECRET".to_owned()),
        ("XML", "body", "<event>SECRET</event>".to_owned()),
        ("form", "body", "type=reservation.expired&reservation_id=SECRET".to_owned()),
        ("Base64", "body", "eyJ0eXBlIjoicmVzZXJ2YXRpb24uZXhwaXJlZCJ9".to_owned()),
        ("opening brace", "body", "{".to_owned()),
        ("truncated in a value", "body", truncated(valid.len() - 12)),
        ("truncated by one character", "body", truncated(valid.len() - 1)),
        ("two objects", "body", format!("{valid}{valid}")),
        ("trailing comma", "body", r#"{"type":"SECRET",}"#.to_owned()),
        ("single quotes", "body", "{'type':'SECRET'}".to_owned()),
        ("comment", "body", format!("{valid} // SECRET")),
        ("NaN", "body", r#"{"type":"payment.failed","amount":NaN}"#.to_owned()),
        ("byte order mark", "body", format!("\u{feff}{valid}")),
        ("NUL", "body", "\0".to_owned()),
        ("NUL at the end", "body", format!("{valid}\0")),
        ("NUL in a value", "body", valid.replace("SECRET", "SEC\0RET")),
        ("newline in a value", "body", valid.replace("SECRET", "SEC\nRET")),
        ("null", "body", "null".to_owned()),
        ("true", "body", "true".to_owned()),
        ("number", "body", "42".to_owned()),
        ("array", "body", format!("[{valid}]")),
        ("empty array", "body", "[]".to_owned()),
        ("nested open arrays", "body", "[".repeat(200)),
        ("nested closed arrays", "body", format!("{}{}", "[".repeat(200), "]".repeat(200))),
        ("nested closed objects", "type", format!("{}1{}", "{\"detail\":".repeat(200), "}".repeat(200))),
        ("nested open objects", "body", "{\"detail\":".repeat(200)),
        ("empty string", "body", "\"\"".to_owned()),
        ("string", "body", "\"SECRET\"".to_owned()),
        ("string of an array", "body", as_string(&format!("[{valid}]"))),
        ("string of a number", "body", "\"7\"".to_owned()),
        ("string of a string", "body", as_string(&as_string(&valid))),
        ("string of truncated JSON", "body", as_string(&truncated(40))),
        ("truncated string", "body", as_string(&valid)[..60].to_owned()),
        ("string and text after it", "body", format!("{}SECRET", as_string(&valid))),
        ("200 KB of text", "body", "SECRET".repeat(35_000)),
        ("200 KB of braces", "body", "{".repeat(200_000)),
        ("200 KB of a string", "body", as_string(&"SECRET".repeat(35_000))),
        (
            "200 KB in a fact",
            "detail.reservation_id",
            body("payment.failed", json!({ "reservation_id": "SECRET".repeat(35_000) })).to_string(),
        ),
        (
            "200 levels in a fact",
            "detail.reservation_id",
            valid.replace("\"r1\"", &format!("{}{}", "[".repeat(200), "]".repeat(200))),
        ),
    ]
}

/// Bodies in which a field occurs twice. Each has the path of the field and its text.
fn duplicate_fields() -> Vec<(&'static str, String)> {
    let valid = body("payment.approved", json!({ "seat_ids": ["SECRET"], "qty": 1 })).to_string();
    let with_duplicate = |member: &str| {
        assert!(valid.contains(member), "{member} is not in {valid}");
        valid.replacen(member, &format!("{member},{member}"), 1)
    };
    vec![
        ("detail-type", with_duplicate(r#""detail-type":"payment.approved""#)),
        ("detail.reservation_id", with_duplicate(r#""reservation_id":"r1""#)),
        ("detail.event_id", with_duplicate(r#""event_id":"evt_1""#)),
        ("detail.seat_ids", with_duplicate(r#""seat_ids":["SECRET"]"#)),
        ("detail.qty", with_duplicate(r#""qty":1"#)),
        ("detail.payment_intent_id", with_duplicate(r#""payment_intent_id":"SECRET payment""#)),
        ("detail", r#"{"type":"payment.failed","detail":{"SECRET":1},"detail":{}}"#.to_owned()),
        ("type", r#"{"type":"payment.failed","type":"SECRET","reservation_id":"r1"}"#.to_owned()),
        (
            "reservation_id",
            r#"{"type":"payment.failed","reservation_id":"r1","reservation_id":"SECRET"}"#.to_owned(),
        ),
        (
            "payload",
            r#"{"type":"payment.failed","reservation_id":"r1","payload":{},"payload":{}}"#.to_owned(),
        ),
        (
            "payload.qty",
            r#"{"type":"payment.failed","reservation_id":"r1","payload":{"qty":1,"qty":2}}"#.to_owned(),
        ),
    ]
}

#[tokio::test]
async fn a_body_that_is_not_a_readable_json_object_is_refused() {
    assert_refused(poison().into_iter().map(|(_, path, text)| (path, Value::String(text)))).await;
}

#[tokio::test]
async fn a_field_that_occurs_twice_is_refused() {
    assert_refused(duplicate_fields().into_iter().map(|(path, text)| (path, Value::String(text)))).await;
}

#[tokio::test]
async fn in_a_batch_with_invalid_and_valid_bodies_only_the_invalid_ones_are_returned() {
    let app = TestApp::new().await;
    let poison = poison()
        .into_iter()
        .map(|(name, _, text)| (name.to_owned(), text))
        .chain(duplicate_fields().into_iter().map(|(path, text)| (format!("{path} twice"), text)));
    let (mut records, mut invalid_ids, mut valid_ids) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (name, text)) in poison.enumerate() {
        let id = format!("good{number}");
        app.hold(&id);
        records.push(record(&name, Value::String(text)));
        records.push(record(&id, expired(&id)));
        invalid_ids.push(name);
        valid_ids.push(id);
    }
    for (name, body) in [("null body", Some(Value::Null)), ("no body", None)] {
        let mut record = record(name, json!({}));
        match body {
            Some(body) => record["body"] = body,
            None => drop(record.as_object_mut().unwrap().remove("body")),
        }
        records.push(record);
        invalid_ids.push(name.to_owned());
    }

    let run = app.run(json!({ "Records": records })).await;

    assert_eq!(run.returned(), invalid_ids);
    for name in &invalid_ids {
        assert_eq!(run.outcome(name), "invalid_payload", "{name}");
    }
    for id in &valid_ids {
        assert_eq!(run.outcome(id), "success", "{id}");
        assert_eq!(app.services.calls_for(id).len(), 2, "{id}");
    }
    assert_eq!(app.services.calls().len(), 2 * valid_ids.len());
    assert!(run.reason("no body").starts_with("body: "));
    assert!(run.reason("null body").starts_with("body: "));
}

#[tokio::test]
async fn a_large_or_deeply_nested_unknown_field_is_ignored() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = Value::String("x".repeat(200_000)).to_string();
    let app = TestApp::new().await;
    for (number, json) in [deep, long].into_iter().enumerate() {
        let id = format!("r{number}");
        app.hold(&id);
        let event = expired(&id).to_string();
        let with_unknown_member = event.replacen('{', &format!("{{\"unknown\":{json},"), 1);
        let body = Value::String(
            with_unknown_member.replace("\"detail\":{", &format!("\"detail\":{{\"unknown\":{json},")),
        );
        assert_eq!(calls_made_for(&app, &body).await, super::expected_calls("reservation.expired", &id));
    }
}

#[tokio::test]
async fn a_value_that_imitates_a_parser_error_is_not_logged() {
    let messages = [
        "duplicate field `SECRET`",
        "SECRET, expected a string at line 1 column 1",
        ", expected SECRET at line 1 column 1",
        "missing field `SECRET`",
        "invalid type: string \"SECRET\", expected i64",
    ];
    let cases = messages.iter().flat_map(|message| {
        let fact = |field: &str, value| body("reservation.expired", json!({ field: value }));
        [
            ("detail.qty", fact("qty", json!(message))),
            ("detail.seat_ids", fact("seat_ids", json!(message))),
            ("detail.reservation_id", fact("reservation_id", json!({ *message: message }))),
            ("detail-type", json!({ "detail-type": [message], "detail": {} })),
        ]
    });
    assert_refused(cases).await;
}

/// The JSON grammar allows these values. But half of a surrogate pair is not a character, and the numbers
/// are out of range.
#[tokio::test]
async fn a_value_that_cannot_be_represented_is_refused_with_the_path_of_its_field() {
    let half_surrogate_pair = r#""SECRET\ud800""#;
    let cases = [
        ("reservation_id", half_surrogate_pair),
        ("event_id", half_surrogate_pair),
        ("payment_intent_id", half_surrogate_pair),
        ("qty", "1e400"),
        ("quantity", "-1e400"),
    ];
    let cases = cases.map(|(field, json)| {
        let body = raw_body("payment.approved", field, json);
        (format!("detail.{field}"), body)
    });
    assert_refused(cases).await;
    let seats = raw_body("payment.approved", "seat_ids", &format!("[\"A-1\",{half_surrogate_pair}]"));
    assert_refused([("detail.seat_ids[1]", seats)]).await;
}
