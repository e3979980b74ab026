//! As much as the queue lets through, and texts that would be something else where they go.

use serde_json::{Value, json};

use super::{body, told};
use crate::table::patient;
use crate::test_app::{TestApp, approved, expired, failed, record, sqs};

/// The longest message that SQS takes.
const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn bodies_of_a_mebibyte_are_read_or_refused_beside_a_good_one() {
    let padded = |event: Value, padding: &str| {
        let event = event.to_string();
        let room = MEBIBYTE - event.len() - r#""padding":"","#.len();
        let padding = padding.repeat(room / padding.len() + 1);
        event.replacen('{', &format!("{{\"padding\":\"{}\",", &padding[..room]), 1)
    };
    let seats: Vec<_> = (0..10_001).map(|seat| format!("{seat:0>64}")).collect();
    let poison = [
        ("arrays", "[".repeat(MEBIBYTE)),
        ("objects", "{\"detail\":".repeat(MEBIBYTE / 10)),
        ("text", "x".repeat(MEBIBYTE)),
        ("NUL", "\0".repeat(MEBIBYTE)),
        ("quotes", "\"".repeat(MEBIBYTE)),
        ("escapes", format!("\"{}\"", "\\u0000".repeat(MEBIBYTE / 6))),
        ("digits", format!("{{\"type\":{}}}", "9".repeat(MEBIBYTE - 9))),
        ("id", body("payment.failed", json!({ "reservation_id": "x".repeat(MEBIBYTE) })).to_string()),
        ("seats", body("payment.approved", json!({ "seat_ids": seats })).to_string()),
    ];
    let app = TestApp::new().await;
    ["large", "good"].iter().for_each(|id| app.hold(id));
    let large = padded(expired("large"), "[{");
    assert_eq!(large.len(), MEBIBYTE);
    let records = poison.iter().map(|(name, text)| (*name, Value::from(text.as_str())));
    let records = records.chain([("large", Value::from(large)), ("good", approved("good"))]);

    let ran = app.run(sqs(records)).await;

    assert_eq!(ran.returned(), poison.each_ref().map(|(name, _)| *name));
    assert!(poison.iter().all(|(name, _)| ran.outcome(name) == "invalid_payload"));
    assert_eq!((ran.outcome("large"), ran.outcome("good")), ("success", "success"));
    assert_eq!(app.services.calls().len(), 4);
    assert!(ran.text.len() < 1_000 * (poison.len() + 2), "the log repeats them: {} bytes", ran.text.len());
}

/// As many as Lambda puts into a batch.
#[tokio::test]
async fn ten_thousand_records_of_which_half_are_poison_are_each_settled() {
    let app = patient(&[("LOG_LEVEL", "info")]).await;
    let holds: Vec<_> = (0..100).map(|number| format!("r{number}")).collect();
    holds.iter().for_each(|id| app.hold(id));
    let ids: Vec<_> = (0..10_000).map(|number| format!("m{number}")).collect();
    let records = ids.iter().enumerate().map(|(number, id)| match number % 2 {
        0 => record(id, json!("{")),
        _ => record(id, expired(&holds[number % holds.len()])),
    });

    let ran = app.run(json!({ "Records": records.collect::<Vec<_>>() })).await;

    let poison: Vec<_> = ids.iter().step_by(2).collect();
    assert_eq!(ran.returned(), poison);
    let told = ran.log.iter().filter(|line| !line["outcome"].is_null());
    let mut told: Vec<_> = told.map(|line| line["message_id"].as_str().unwrap()).collect();
    told.sort_unstable();
    let mut each_once: Vec<_> = ids.iter().map(String::as_str).collect();
    each_once.sort_unstable();
    assert!(told == each_once, "{} lines", told.len());
    // Half of the holds have records: each event comes a hundred times and is worked once.
    assert_eq!(app.services.calls().len(), 100);
}

#[tokio::test]
async fn texts_made_for_headers_paths_and_json_arrive_as_they_are_and_nowhere_else() {
    let texts = [
        "p\r\nX-Injected: 1\r\n\r\n",
        "p\",\"status\":\"EXPIRED",
        "../../admin?x=1#y",
        "\0p\u{1b}[2J",
        "\u{202e}p\u{200b}\u{feff}",
        "p\u{2028}q\u{85}",
        "😀".repeat(500).as_str(),
    ]
    .map(str::to_owned);
    let app = TestApp::new().await;
    for (number, text) in texts.iter().enumerate() {
        let id = format!("r{number}");
        app.hold(&id);
        let mut event = approved(&id);
        event["detail"]["payment_intent_id"] = json!(text);
        event["detail"]["user_id"] = json!(text);
        let ran = app.run(sqs([("m1", event)])).await;
        assert_eq!(ran.outcome("m1"), "success", "{text:?}: {}", ran.reason("m1"));
        let calls = app.services.take_calls();
        let [status, seats] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!(status.body, json!({ "status": "CONFIRMED", "payment_intent_id": text }));
        assert_eq!((&seats.body["payment_intent_id"], &seats.body["user_id"]), (&json!(text), &json!(text)));
        assert_eq!(status.path, format!("/internal/reservations/{id}"));
        assert!(calls.iter().all(|call| !call.headers.contains_key("x-injected")), "{calls:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_a_number_keeps_every_digit() {
    let app = TestApp::new().await;
    let numbers = [
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890",
    ];
    for (number, written) in numbers.into_iter().enumerate() {
        let (paid, unpaid) = (format!("paid{number}"), format!("unpaid{number}"));
        [&paid, &unpaid].iter().for_each(|id| app.hold(id));
        let with = |event: Value, fact: &str| {
            let (name, place) = (format!("\"{fact}\":"), event["detail"][fact].to_string());
            let body = event.to_string();
            assert!(body.contains(&format!("{name}{place}")), "{body}");
            Value::from(body.replace(&format!("{name}{place}"), &format!("{name}{written}")))
        };
        let calls = told(&app, &with(approved(&paid), "user_id")).await;
        assert_eq!(calls[1]["body"]["user_id"], written);
        let calls = told(&app, &with(failed(&unpaid), "error_code")).await;
        assert_eq!(calls[0]["body"]["error_code"], written);
    }
}
