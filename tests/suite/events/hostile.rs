//! Bodies and batches of the largest size, and texts that contain the syntax of headers, paths or JSON.

use serde_json::{Value, json};

use super::{body, calls_made_for};
use crate::table::app_with_generous_limits;
use crate::test_app::{TestApp, approved, expired, failed, record, sqs};

/// The largest message that SQS accepts, in bytes.
const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn bodies_of_one_mebibyte_are_processed_or_refused_and_do_not_affect_other_records() {
    let padded = |event: Value, padding: &str| {
        let event = event.to_string();
        let padding_length = MEBIBYTE - event.len() - r#""padding":"","#.len();
        let padding = padding.repeat(padding_length / padding.len() + 1);
        event.replacen('{', &format!("{{\"padding\":\"{}\",", &padding[..padding_length]), 1)
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

    let run = app.run(sqs(records)).await;

    assert_eq!(run.returned(), poison.each_ref().map(|(name, _)| *name));
    assert!(poison.iter().all(|(name, _)| run.outcome(name) == "invalid_payload"));
    assert_eq!((run.outcome("large"), run.outcome("good")), ("success", "success"));
    assert_eq!(app.services.calls().len(), 4);
    assert!(
        run.text.len() < 1_000 * (poison.len() + 2),
        "the log repeats the bodies: {} bytes",
        run.text.len()
    );
}

/// 10,000 records is the largest batch that Lambda sends.
#[tokio::test]
async fn each_of_ten_thousand_records_gets_its_outcome_if_half_of_them_are_invalid() {
    let app = app_with_generous_limits(&[("LOG_LEVEL", "info")]).await;
    let holds: Vec<_> = (0..100).map(|number| format!("r{number}")).collect();
    holds.iter().for_each(|id| app.hold(id));
    let ids: Vec<_> = (0..10_000).map(|number| format!("m{number}")).collect();
    let records = ids.iter().enumerate().map(|(number, id)| match number % 2 {
        0 => record(id, json!("{")),
        _ => record(id, expired(&holds[number % holds.len()])),
    });

    let run = app.run(json!({ "Records": records.collect::<Vec<_>>() })).await;

    let poison: Vec<_> = ids.iter().step_by(2).collect();
    assert_eq!(run.returned(), poison);
    let summary_lines = run.log.iter().filter(|line| !line["outcome"].is_null());
    let mut logged_ids: Vec<_> = summary_lines.map(|line| line["message_id"].as_str().unwrap()).collect();
    logged_ids.sort_unstable();
    let mut expected_ids: Vec<_> = ids.iter().map(String::as_str).collect();
    expected_ids.sort_unstable();
    assert!(logged_ids == expected_ids, "{} summary lines", logged_ids.len());
    // Only 50 of the 100 holds have records. Each event occurs 100 times and is processed once, with two
    // calls.
    assert_eq!(app.services.calls().len(), 100);
}

#[tokio::test]
async fn texts_with_header_path_and_json_syntax_are_passed_on_unchanged_and_change_no_other_field() {
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
        let run = app.run(sqs([("m1", event)])).await;
        assert_eq!(run.outcome("m1"), "success", "{text:?}: {}", run.reason("m1"));
        let calls = app.services.take_calls();
        let [status, seats] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!(status.body, json!({ "status": "CONFIRMED", "payment_intent_id": text }));
        assert_eq!((&seats.body["payment_intent_id"], &seats.body["user_id"]), (&json!(text), &json!(text)));
        assert_eq!(status.path, format!("/internal/reservations/{id}"));
        assert!(calls.iter().all(|call| !call.headers.contains_key("x-injected")), "{calls:?}");
    }
}

#[tokio::test]
async fn a_numeric_id_keeps_every_digit() {
    let app = TestApp::new().await;
    let numbers = [
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890",
    ];
    for (number, digits) in numbers.into_iter().enumerate() {
        let (paid, unpaid) = (format!("paid{number}"), format!("unpaid{number}"));
        [&paid, &unpaid].iter().for_each(|id| app.hold(id));
        let with_digits_as = |fact: &str, event: Value| {
            let (name, value) = (format!("\"{fact}\":"), event["detail"][fact].to_string());
            let body = event.to_string();
            assert!(body.contains(&format!("{name}{value}")), "{body}");
            Value::from(body.replace(&format!("{name}{value}"), &format!("{name}{digits}")))
        };
        let calls = calls_made_for(&app, &with_digits_as("user_id", approved(&paid))).await;
        assert_eq!(calls[1]["body"]["user_id"], digits);
        let calls = calls_made_for(&app, &with_digits_as("error_code", failed(&unpaid))).await;
        assert_eq!(calls[0]["body"]["error_code"], digits);
    }
}
