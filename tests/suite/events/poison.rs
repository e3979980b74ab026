//! Bodies that are no event at all: each costs its own record and no other.

use serde_json::{Value, json};

use super::{assert_refused, body, raw_body, told};
use crate::test_app::{TestApp, expired, record};

/// Bodies that are no JSON object, or not one that can be read: each with a name and the path in its reason.
fn poison() -> Vec<(&'static str, &'static str, String)> {
    let whole = body("reservation.expired", json!({ "user_id": "SECRET" })).to_string();
    let cut = |at: usize| whole[..at].to_owned();
    let as_string = |text: &str| Value::String(text.to_owned()).to_string();
    vec![
        ("empty", "body", String::new()),
        ("spaces", "body", " \r\n\t".to_owned()),
        ("text", "body", "SECRET".to_owned()),
        ("XML", "body", "<event>SECRET</event>".to_owned()),
        ("form", "body", "type=reservation.expired&reservation_id=SECRET".to_owned()),
        ("Base64", "body", "eyJ0eXBlIjoicmVzZXJ2YXRpb24uZXhwaXJlZCJ9".to_owned()),
        ("open brace", "body", "{".to_owned()),
        ("cut in a value", "body", cut(whole.len() - 12)),
        ("cut before the end", "body", cut(whole.len() - 1)),
        ("doubled", "body", format!("{whole}{whole}")),
        ("trailing comma", "body", r#"{"type":"SECRET",}"#.to_owned()),
        ("single quotes", "body", "{'type':'SECRET'}".to_owned()),
        ("comment", "body", format!("{whole} // SECRET")),
        ("NaN", "body", r#"{"type":"payment.failed","amount":NaN}"#.to_owned()),
        ("byte order mark", "body", format!("\u{feff}{whole}")),
        ("NUL", "body", "\0".to_owned()),
        ("NUL after", "body", format!("{whole}\0")),
        ("NUL within", "body", whole.replace("SECRET", "SEC\0RET")),
        ("newline within", "body", whole.replace("SECRET", "SEC\nRET")),
        ("null", "body", "null".to_owned()),
        ("true", "body", "true".to_owned()),
        ("number", "body", "42".to_owned()),
        ("array", "body", format!("[{whole}]")),
        ("empty array", "body", "[]".to_owned()),
        ("nested arrays", "body", "[".repeat(200)),
        ("nested and closed arrays", "body", format!("{}{}", "[".repeat(200), "]".repeat(200))),
        ("nested objects", "type", format!("{}1{}", "{\"detail\":".repeat(200), "}".repeat(200))),
        ("nested and open objects", "body", "{\"detail\":".repeat(200)),
        ("empty string", "body", "\"\"".to_owned()),
        ("string", "body", "\"SECRET\"".to_owned()),
        ("string of an array", "body", as_string(&format!("[{whole}]"))),
        ("string of a number", "body", "\"7\"".to_owned()),
        ("string of a string", "body", as_string(&as_string(&whole))),
        ("string of cut JSON", "body", as_string(&cut(40))),
        ("string that is cut", "body", as_string(&whole)[..60].to_owned()),
        ("string and more", "body", format!("{}SECRET", as_string(&whole))),
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
            whole.replace("\"r1\"", &format!("{}{}", "[".repeat(200), "]".repeat(200))),
        ),
    ]
}

/// Bodies that say a thing twice.
fn twice() -> Vec<(&'static str, String)> {
    let whole = body("payment.approved", json!({ "seat_ids": ["SECRET"], "qty": 1 })).to_string();
    let doubled = |member: &str| {
        assert!(whole.contains(member), "{member} is not in {whole}");
        whole.replacen(member, &format!("{member},{member}"), 1)
    };
    vec![
        ("detail-type", doubled(r#""detail-type":"payment.approved""#)),
        ("detail.reservation_id", doubled(r#""reservation_id":"r1""#)),
        ("detail.event_id", doubled(r#""event_id":"evt_1""#)),
        ("detail.seat_ids", doubled(r#""seat_ids":["SECRET"]"#)),
        ("detail.qty", doubled(r#""qty":1"#)),
        ("detail.payment_intent_id", doubled(r#""payment_intent_id":"SECRET payment""#)),
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
async fn what_is_not_a_json_object_is_refused() {
    assert_refused(poison().into_iter().map(|(_, path, text)| (path, Value::String(text)))).await;
}

#[tokio::test]
async fn a_field_that_occurs_twice_is_refused() {
    assert_refused(twice().into_iter().map(|(path, text)| (path, Value::String(text)))).await;
}

#[tokio::test]
async fn poison_among_good_records_is_returned_alone() {
    let app = TestApp::new().await;
    let poison = poison()
        .into_iter()
        .map(|(name, _, text)| (name.to_owned(), text))
        .chain(twice().into_iter().map(|(path, text)| (format!("{path} twice"), text)));
    let (mut records, mut bad, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (name, text)) in poison.enumerate() {
        let id = format!("good{number}");
        app.hold(&id);
        records.push(record(&name, Value::String(text)));
        records.push(record(&id, expired(&id)));
        bad.push(name);
        good.push(id);
    }
    for (name, body) in [("body of null", Some(Value::Null)), ("no body", None)] {
        let mut record = record(name, json!({}));
        match body {
            Some(body) => record["body"] = body,
            None => drop(record.as_object_mut().unwrap().remove("body")),
        }
        records.push(record);
        bad.push(name.to_owned());
    }

    let ran = app.run(json!({ "Records": records })).await;

    assert_eq!(ran.returned(), bad);
    for name in &bad {
        assert_eq!(ran.outcome(name), "invalid_payload", "{name}");
    }
    for id in &good {
        assert_eq!(ran.outcome(id), "success", "{id}");
        assert_eq!(app.services.calls_for(id).len(), 2, "{id}");
    }
    assert_eq!(app.services.calls().len(), 2 * good.len());
    assert!(ran.reason("no body").starts_with("body: "));
    assert!(ran.reason("body of null").starts_with("body: "));
}

#[tokio::test]
async fn what_is_large_or_deep_does_not_matter_in_an_unknown_field() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = Value::String("x".repeat(200_000)).to_string();
    let app = TestApp::new().await;
    for (number, json) in [deep, long].into_iter().enumerate() {
        let id = format!("r{number}");
        app.hold(&id);
        let event = expired(&id).to_string();
        let at_the_top = event.replacen('{', &format!("{{\"unknown\":{json},"), 1);
        let body =
            Value::String(at_the_top.replace("\"detail\":{", &format!("\"detail\":{{\"unknown\":{json},")));
        assert_eq!(told(&app, &body).await, super::calls_of("reservation.expired", &id));
    }
}

#[tokio::test]
async fn a_value_that_looks_like_a_parsers_message_is_not_shown() {
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

/// JSON's grammar allows them; half of a surrogate pair is no text, though, and these are no numbers.
#[tokio::test]
async fn a_value_that_nothing_can_hold_is_refused_at_its_field() {
    let half = r#""SECRET\ud800""#;
    let cases = [
        ("reservation_id", half),
        ("event_id", half),
        ("payment_intent_id", half),
        ("qty", "1e400"),
        ("quantity", "-1e400"),
    ];
    let cases = cases.map(|(field, json)| {
        let body = raw_body("payment.approved", field, json);
        (format!("detail.{field}"), body)
    });
    assert_refused(cases).await;
    let seats = raw_body("payment.approved", "seat_ids", &format!("[\"A-1\",{half}]"));
    assert_refused([("detail.seat_ids[1]", seats)]).await;
}
