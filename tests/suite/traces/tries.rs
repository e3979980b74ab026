//! A span for each try, with status and reason.

use std::time::Duration;

use reservation_worker_local::trace_receivers::Span;
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};

use super::{INVOCATIONS, Traced, W3C, children, of_message, run, says_whose_it_is, traced, traceparent};
use crate::test_app::{TestApp, context_of_version};

fn record() -> Value {
    traced("m1", &traceparent(W3C, "01"))
}

/// What the tries of a record's calls say.
fn tries(spans: &[Span]) -> Vec<(Value, Value, Option<&str>)> {
    let said = |span: &&Span, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    let tries = children(spans, of_message(spans, "m1"));
    let status = |span: &&Span| match said(span, "http.response.status_code") {
        Value::Null => said(span, "rpc.response.status_code"),
        status => status,
    };
    tries.iter().map(|span| (status(span), said(span, "error.type"), span.error.as_deref())).collect()
}

#[tokio::test]
async fn a_call_that_is_tried_again_has_a_span_for_each_try() {
    let traced = Traced::start(&[("INVENTORY_TIMEOUT_MS", "60000")]).await;
    traced.app.hold("m1");
    for effect in [Effect::http_code(503, "BUSY"), Effect::Reset] {
        traced.app.services.fault(Fault::any(Operation::UpdateStatus, effect).times(1));
    }
    for effect in [Effect::grpc(14), Effect::reply(4, Some(16))] {
        traced.app.services.fault(Fault::any(Operation::ReleaseHold, effect).times(1));
    }
    let (ran, spans) = traced.run(vec![record()], INVOCATIONS).await;

    assert_eq!(ran.outcome("m1"), "success");
    let tries = tries(&spans);
    let reason = format!("reservation API: 503 BUSY (its trace {W3C})");
    assert_eq!(tries[0], (json!(503), json!("503"), Some(reason.as_str())));
    let (status, error_type, reason) = &tries[1];
    assert_eq!((status, error_type), (&Value::Null, &json!("transient")));
    assert!(reason.unwrap().starts_with("reservation API: "), "{reason:?}");
    assert_eq!(tries[2], (json!(200), Value::Null, None));
    assert_eq!(tries[3], (json!("UNAVAILABLE"), json!("UNAVAILABLE"), Some("inventory: Unavailable")));
    let reason = "inventory: RELEASE_STATUS_FAILED ERROR_CODE_INTERNAL";
    assert_eq!(tries[4], (json!("OK"), json!("transient"), Some(reason)));
    assert_eq!(tries[5], (json!("OK"), Value::Null, None));
    assert_eq!(tries.len(), 6);
    let sent: Vec<_> =
        traced.app.services.calls().iter().map(|call| call.headers["traceparent"].clone()).collect();
    let spans = children(&spans, of_message(&spans, "m1"));
    let expected: Vec<_> = spans.iter().map(|span| format!("00-{W3C}-{}-01", span.span_id)).collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_conflict_is_no_error_of_the_call_and_a_failed_record_is_one_with_its_reason() {
    let traced = Traced::start(&[]).await;
    traced.app.hold("m1");
    traced
        .app
        .services
        .fault(Fault::any(Operation::UpdateStatus, Effect::http_code(409, "RESERVATION_ALREADY_CONFIRMED")));
    let (ran, spans) = traced.run(vec![record()], INVOCATIONS).await;
    assert_eq!(ran.outcome("m1"), "superseded");
    assert_eq!(tries(&spans), [(json!(409), Value::Null, None)]);
    assert_eq!(of_message(&spans, "m1").error, None);

    traced.app.services.clear_faults();
    traced.app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(422)));
    let (_, spans) = traced.run(vec![record()], INVOCATIONS).await;
    let process = of_message(&spans, "m1");
    assert_eq!(process.error.as_deref(), Some("reservation API: 422"));
    assert_eq!(process.attributes["error.type"], "reservation_api_rejected");
    assert_eq!(process.attributes["reservation_worker.outcome"], "failed");
}

#[tokio::test]
async fn a_try_that_the_deadline_abandons_has_a_span_and_a_line_in_its_records_trace() {
    let traced = Traced::start(&[("DEADLINE_RESERVE_MS", "100"), ("LOG_LEVEL", "debug")]).await;
    traced.app.hold("m1");
    traced.app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang));
    let ran = traced.app.run_within(json!({ "Records": [record()] }), Duration::from_millis(500)).await;
    traced.app.flush(super::LONG).await;

    let spans = traced.collector.spans();
    let (_, error_type, reason) = tries(&spans)[0].clone();
    assert_eq!((error_type, reason), (json!("abandoned"), Some("no time left to wait for it")));
    let process = of_message(&spans, "m1");
    assert_eq!(
        (&process.attributes["reservation_worker.outcome"], &process.error),
        (&json!("deferred"), &None)
    );
    let call = ran.log.iter().find(|line| line["message"] == "service called").unwrap();
    assert_eq!((&call["trace_id"], &call["span_id"]), (&json!(W3C), &json!(process.span_id)));
}

/// The record's own on its lines, the invocation's on those of the invocation, and none twice.
#[tokio::test]
async fn every_line_of_an_invocation_says_which_trace_and_which_invocation_it_is_of() {
    let traced =
        Traced::start(&[("LOG_LEVEL", "debug"), ("SQS_QUEUE_URL", "http://127.0.0.1:1/queue")]).await;
    traced.app.hold("m1");
    traced.app.services.fault(Fault::any(Operation::ReleaseHold, Effect::grpc(14)));
    traced
        .app
        .services
        .visibility()
        .set_behaviour(reservation_worker_local::visibility::VisibilityBehaviour::CallFails(400, "Refused"));
    let context = context_of_version("7", INVOCATIONS);
    for cold_start in [true, false] {
        let ran = traced.app.run_in(json!({ "Records": [record()] }), context.clone()).await.unwrap();
        traced.app.flush(super::LONG).await;
        let spans = traced.collector.spans();
        let (process, invocation) =
            (of_message(&spans[spans.len() - 6..], "m1"), super::invocation(&spans[spans.len() - 6..]));

        assert!(ran.log.iter().any(|line| line["message_id"].is_null()), "a line of no record: {}", ran.text);
        for (line, text) in ran.log.iter().zip(ran.text.lines()) {
            let span = if line["message_id"].is_null() { invocation } else { process };
            let xray = json!("1-6af84039-c2029f7c3ddb565ad52f1ac6");
            let invocation = [xray, json!("request-1"), json!("7"), json!(cold_start)];
            says_whose_it_is((line, text), span, invocation);
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_not_traced_is_worked_as_ever() {
    let app = TestApp::new().await;
    app.hold("m1");
    assert_eq!(run(&app, vec![record()], "garbage").await.outcome("m1"), "success");
}
