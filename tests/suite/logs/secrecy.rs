//! What the log never contains: bodies, tokens, card data, the names of users, and lines forged by outside input.

use std::io;
use std::time::Duration;

use reservation_worker::http_client::connection_failure;
use reservation_worker::telemetry::logs;
use reservation_worker_local::trace_receivers::Collector;
use reservation_worker_local::{Effect, Fault, Hold, Operation};
use serde_json::{Value, json};
use tracing::Level;

use crate::test_app::{Log, TestApp, approved, context, expired, record, sqs};

fn secret_facts(reservation_id: &str) -> Value {
    json!({
        "reservation_id": reservation_id,
        "event_id": "evt_1",
        "seat_ids": [format!("{reservation_id} SECRET seat")],
        "payment_intent_id": "SECRET payment",
        "user_id": "SECRET user",
        "error_code": "SECRET_CODE",
        "error_message": "SECRET message",
        "currency": "SECRET",
        "card": { "number": "4242 4242 4242 4242", "holder": "SECRET holder" },
        "SECRET": "SECRET",
    })
}

fn html(status: u16) -> Effect {
    Effect::HttpBody {
        status,
        content_type: "text/html".to_owned(),
        body: "<html>SECRET page</html>".to_owned(),
    }
}

fn error_body(status: u16, code: &str) -> Effect {
    let body = json!({ "error": { "code": code, "message": "SECRET text", "trace_id": "SECRET trace id" } });
    Effect::HttpBody { status, content_type: "application/json".to_owned(), body: body.to_string() }
}

fn redirect() -> Effect {
    Effect::Http {
        status: 302,
        code: None,
        retry_after: Some("SECRET".to_owned()),
        location: Some("http://SECRET:SECRET@127.0.0.1:9/SECRET".to_owned()),
        trace_id: None,
    }
}

#[tokio::test]
async fn no_log_line_and_no_span_contains_a_token_a_body_or_a_name() {
    let cases: [(&str, Option<(Operation, Effect)>); 12] = [
        ("success", None),
        ("failed", Some((Operation::UpdateStatus, error_body(422, "NOT_SO")))),
        ("failed", Some((Operation::UpdateStatus, error_body(400, "SECRET\r\n{\"level\":\"ERROR\"}")))),
        ("retried", Some((Operation::UpdateStatus, html(404)))),
        ("retried", Some((Operation::UpdateStatus, html(500)))),
        ("retried", Some((Operation::UpdateStatus, html(409)))),
        ("success", Some((Operation::UpdateStatus, html(200)))),
        ("retried", Some((Operation::UpdateStatus, redirect()))),
        ("retried", Some((Operation::UpdateStatus, Effect::Reset))),
        ("retried", Some((Operation::CommitReservation, Effect::grpc(14)))),
        ("failed", Some((Operation::CommitReservation, Effect::reply(2, Some(15))))),
        ("failed", Some((Operation::CommitReservation, Effect::grpc(3)))),
    ];
    for level in ["debug", "info"] {
        let collector = Collector::start().await.unwrap();
        let endpoint = collector.endpoint();
        let token = ("RESERVATION_API_TOKEN", "SECRET-TOKEN");
        let app =
            TestApp::with(&[token, ("LOG_LEVEL", level), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
        // Also captures what the tasks of the connections log. These tasks run outside of any record.
        let outside_records = Log::default();
        let _guard =
            tracing::subscriber::set_default(logs::subscriber(Level::DEBUG, outside_records.clone()));
        for (number, (outcome, fault)) in cases.iter().enumerate() {
            let id = format!("r{number}");
            let hold = Hold {
                reservation_id: id.clone(),
                event_id: "evt_1".to_owned(),
                user_id: Some("SECRET user".to_owned()),
                seat_ids: vec![format!("{id} SECRET seat")],
                quantity: None,
            };
            app.services.create_hold(hold).unwrap();
            if let Some((operation, effect)) = fault {
                app.services.fault(Fault::on(*operation, &id, effect.clone()));
            }
            if matches!(fault, Some((_, Effect::HttpBody { status: 409, .. }))) {
                app.services.fault(Fault::on(Operation::ReadReservation, &id, html(200)));
            }
            let body = json!({ "detail-type": "payment.approved", "detail": secret_facts(&id) });
            let run = app.run(sqs([("m1", body)])).await;

            assert_eq!(run.outcome("m1"), *outcome, "{fault:?}: {}", run.reason("m1"));
            for hidden in ["SECRET", "4242 4242", Effect::MESSAGE, "Bearer", "<html>"] {
                assert!(!run.text.contains(hidden), "{hidden} appears with {fault:?} in {}", run.text);
            }
        }
        let calls = app.services.calls();
        assert!(
            calls.iter().any(|call| call.headers.contains_key("authorization")),
            "no call carried the token"
        );
        assert!(!outside_records.text().contains("SECRET"), "{}", outside_records.text());
        app.flush(Duration::from_secs(60)).await;
        let spans = collector.spans();
        assert!(spans.len() > 3 * cases.len(), "{spans:#?}");
        for hidden in ["SECRET", Effect::MESSAGE, "Bearer", "<html>"] {
            assert!(!format!("{spans:?}").contains(hidden), "{hidden} appears in {spans:#?}");
        }
    }
}

#[test]
fn the_cause_of_a_broken_connection_contains_no_text_from_the_peer() {
    let from_peer = io::Error::new(io::ErrorKind::InvalidData, "SECRET");
    assert_eq!(connection_failure(&from_peer).unwrap(), "invalid data");
    assert_eq!(connection_failure(&io::Error::other(from_peer)).unwrap(), "invalid data");
}

#[tokio::test]
async fn debug_lines_show_each_call_and_its_record() {
    let app = TestApp::with(&[("LOG_LEVEL", "debug")]).await;
    app.hold("r1");
    app.hold("r2");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r2", Effect::http(503)).times(2));
    let run = app.run(sqs([("m1", approved("r1")), ("m2", expired("r2"))])).await;

    for (message_id, reservation_id) in [("m1", "r1"), ("m2", "r2")] {
        let calls = app.services.calls_for(reservation_id).len();
        let lines =
            run.log.iter().filter(|line| line["level"] == "DEBUG" && line["message_id"] == message_id);
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), calls, "{lines:#?}");
        for line in lines {
            assert_eq!(line["request_id"], "request-1");
            assert_eq!(line["reservation_id"], reservation_id);
        }
    }
    let calls = run.log.iter().filter(|line| line["message"] == "attempt of a call ended");
    let summary = |line: &Value| {
        ["service", "method", "status", "result"]
            .map(|field| line[field].as_str().unwrap().to_owned())
            .join(" ")
    };
    let mut calls: Vec<_> = calls.map(summary).collect();
    calls.sort_unstable();
    assert_eq!(
        calls,
        [
            "inventory CommitReservation OK success",
            "inventory ReleaseHold OK success",
            "reservation-api PATCH 200 success",
            "reservation-api PATCH 200 success",
            "reservation-api PATCH 503 unavailable",
            "reservation-api PATCH 503 unavailable",
        ]
    );
}

#[tokio::test]
async fn outside_input_cannot_forge_a_log_line() {
    let forged = [
        "a\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
        "a\n",
        "a\rb",
        "a\",\"outcome\":\"success",
        "a\\",
        "a\\\"",
        "a\u{0}\u{1b}[2Jb",
        "a\u{202e}b\u{2028}c\u{2029}d\u{85}e",
        "}{",
    ];
    let app = TestApp::new().await;
    for text in forged {
        // The text as the whole body, and the text as the value of a field that is read.
        let bodies = [
            Value::String(text.to_owned()),
            json!({ "type": text }),
            json!({ "type": "payment.failed", "reservation_id": text, "trace_id": text }),
            json!({ "type": "payment.failed", "reservation_id": "r1", "error_code": text, "user_id": text }),
        ];
        let mut records = Vec::new();
        for (number, body) in bodies.into_iter().enumerate() {
            let mut record = record(&format!("{number}{text}"), body);
            record["attributes"]["AWSTraceHeader"] = json!(text);
            record["attributes"]["ApproximateReceiveCount"] = json!(text);
            record["messageAttributes"]["traceparent"] = json!({ "stringValue": text, "dataType": "String" });
            records.push(record);
        }
        let mut context = context(Duration::ZERO);
        context.request_id = text.to_owned();
        context.xray_trace_id = Some(text.to_owned());

        let run = app.run_in(json!({ "Records": records }), context).await.unwrap();

        assert_eq!(run.text.matches('\n').count(), 4, "{}", run.text);
        assert_eq!(run.log.len(), 4, "{}", run.text);
        assert!(!run.text.contains(['\r', '\0', '\u{1b}']), "{:?}", run.text);
        for (number, outcome) in
            ["invalid_payload", "invalid_payload", "invalid_payload", "failed"].iter().enumerate()
        {
            let line = run.line(&format!("{number}{text}"));
            assert_eq!(line["outcome"], *outcome);
            assert_eq!(line["request_id"], text);
        }
    }
}
