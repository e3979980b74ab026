//! One span per attempt of a call, with status and reason.

use std::time::Duration;

use reservation_worker_local::trace_receivers::Span;
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};

use super::{
    INVOCATION_HEADER, TracedApp, W3C_TRACE_ID, assert_line_has_ids_of, children, invocation,
    record_with_traceparent, run, span_of_message, traceparent,
};
use crate::test_app::{TestApp, context_of_version};

fn record() -> Value {
    record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "01"))
}

/// Status, error type and reason of each attempt of the record's calls.
fn attempts(spans: &[Span]) -> Vec<(Value, Value, Option<&str>)> {
    let attribute = |span: &&Span, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    let attempts = children(spans, span_of_message(spans, "m1"));
    let status = |span: &&Span| match attribute(span, "http.response.status_code") {
        Value::Null => attribute(span, "rpc.response.status_code"),
        status => status,
    };
    attempts.iter().map(|span| (status(span), attribute(span, "error.type"), span.error.as_deref())).collect()
}

#[tokio::test]
async fn a_call_that_is_retried_has_one_span_per_attempt() {
    let traced = TracedApp::start(&[]).await;
    traced.app.hold("m1");
    for effect in [Effect::http_code(503, "BUSY"), Effect::Reset] {
        traced.app.services.fault(Fault::any(Operation::UpdateStatus, effect).times(1));
    }
    for effect in [Effect::grpc(14), Effect::reply(4, Some(16))] {
        traced.app.services.fault(Fault::any(Operation::ReleaseHold, effect).times(1));
    }
    let (run, spans) = traced.run(vec![record()], INVOCATION_HEADER).await;

    assert_eq!(run.outcome("m1"), "success");
    let attempts = attempts(&spans);
    let reason = format!("reservation API: 503 BUSY (trace id in the reply: {W3C_TRACE_ID})");
    assert_eq!(attempts[0], (json!(503), json!("503"), Some(reason.as_str())));
    let (status, error_type, reason) = &attempts[1];
    assert_eq!((status, error_type), (&Value::Null, &json!("unavailable")));
    assert!(reason.unwrap().starts_with("reservation API: "), "{reason:?}");
    assert_eq!(attempts[2], (json!(200), Value::Null, None));
    assert_eq!(attempts[3], (json!("UNAVAILABLE"), json!("UNAVAILABLE"), Some("inventory: UNAVAILABLE")));
    let reason = "inventory: RELEASE_STATUS_FAILED ERROR_CODE_INTERNAL";
    assert_eq!(attempts[4], (json!("OK"), json!("transient"), Some(reason)));
    assert_eq!(attempts[5], (json!("OK"), Value::Null, None));
    assert_eq!(attempts.len(), 6);
    let sent: Vec<_> =
        traced.app.services.calls().iter().map(|call| call.headers["traceparent"].clone()).collect();
    let spans = children(&spans, span_of_message(&spans, "m1"));
    let expected: Vec<_> =
        spans.iter().map(|span| format!("00-{W3C_TRACE_ID}-{}-01", span.span_id)).collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_conflict_is_not_an_error_of_the_call_and_a_failed_record_is_an_error_with_its_reason() {
    let traced = TracedApp::start(&[]).await;
    traced.app.hold("m1");
    traced
        .app
        .services
        .fault(Fault::any(Operation::UpdateStatus, Effect::http_code(409, "RESERVATION_ALREADY_CONFIRMED")));
    let (run, spans) = traced.run(vec![record()], INVOCATION_HEADER).await;
    assert_eq!(run.outcome("m1"), "superseded");
    assert_eq!(attempts(&spans), [(json!(409), Value::Null, None)]);
    assert_eq!(span_of_message(&spans, "m1").error, None);

    traced.app.services.clear_faults();
    traced.app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(422)));
    let (_, spans) = traced.run(vec![record()], INVOCATION_HEADER).await;
    let record_span = span_of_message(&spans, "m1");
    assert_eq!(record_span.error.as_deref(), Some("reservation API: 422"));
    assert_eq!(record_span.attributes["error.type"], "reservation_api_rejected");
    assert_eq!(record_span.attributes["reservation_worker.outcome"], "failed");
}

#[tokio::test]
async fn an_attempt_abandoned_at_the_deadline_has_a_span_and_a_log_line_in_its_records_trace() {
    let traced = TracedApp::start(&[("DEADLINE_RESERVE_MS", "100"), ("LOG_LEVEL", "debug")]).await;
    traced.app.hold("m1");
    traced.app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang));
    let run = traced.app.run_within(json!({ "Records": [record()] }), Duration::from_millis(500)).await;
    traced.app.flush(super::LONG).await;

    let spans = traced.collector.spans();
    let (_, error_type, reason) = attempts(&spans)[0].clone();
    assert_eq!(
        (error_type, reason),
        (json!("abandoned"), Some("there was no time left to wait for the reply"))
    );
    let record_span = span_of_message(&spans, "m1");
    assert_eq!(
        (&record_span.attributes["reservation_worker.outcome"], &record_span.error),
        (&json!("deferred"), &None)
    );
    let call = run.log.iter().find(|line| line["message"] == "attempt of a call ended").unwrap();
    assert_eq!((&call["trace_id"], &call["span_id"]), (&json!(W3C_TRACE_ID), &json!(record_span.span_id)));
}

/// A line about a record names the record's span. Any other line names the invocation's span. No field occurs twice.
#[tokio::test]
async fn every_log_line_names_its_trace_and_its_invocation() {
    let traced =
        TracedApp::start(&[("LOG_LEVEL", "debug"), ("SQS_QUEUE_URL", "http://127.0.0.1:1/queue")]).await;
    traced.app.hold("m1");
    traced.app.services.fault(Fault::any(Operation::ReleaseHold, Effect::grpc(14)));
    traced
        .app
        .services
        .visibility()
        .set_behaviour(reservation_worker_local::visibility::VisibilityBehaviour::CallFails(400, "Refused"));
    let context = context_of_version("7", INVOCATION_HEADER);
    for cold_start in [true, false] {
        let run = traced.app.run_in(json!({ "Records": [record()] }), context.clone()).await.unwrap();
        traced.app.flush(super::LONG).await;
        let spans = traced.collector.spans();
        let (record_span, invocation) =
            (span_of_message(&spans[spans.len() - 6..], "m1"), invocation(&spans[spans.len() - 6..]));

        assert!(
            run.log.iter().any(|line| line["message_id"].is_null()),
            "there is no line without a record: {}",
            run.text
        );
        for (line, text) in run.log.iter().zip(run.text.lines()) {
            let span = if line["message_id"].is_null() { invocation } else { record_span };
            let xray = json!("1-6af84039-c2029f7c3ddb565ad52f1ac6");
            let invocation = [xray, json!("request-1"), json!("7"), json!(cold_start)];
            assert_line_has_ids_of((line, text), span, invocation);
        }
    }
}

#[tokio::test]
async fn a_batch_without_traces_is_processed_as_usual() {
    let app = TestApp::new().await;
    app.hold("m1");
    assert_eq!(run(&app, vec![record()], "garbage").await.outcome("m1"), "success");
}
