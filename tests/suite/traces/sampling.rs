//! The producer decides whether its trace is sampled. If it has not decided, Lambda decides.

use serde_json::{Value, json};

use super::{
    BODY_TRACE_ID, INVOCATION_TRACE_ID, TracedApp, W3C_TRACE_ID, XRAY_TRACE_ID, record_with_traceparent, run,
    traceparent,
};
use crate::test_app::{TestApp, expired, record};

const SAMPLED: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=1";
const UNSAMPLED: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=0";

fn record_with_xray_header(decision: &str) -> Value {
    let mut record = record("m1", expired("m1"));
    record["attributes"]["AWSTraceHeader"] =
        json!(format!("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8{decision}"));
    record
}

fn record_with_trace_id_in_body() -> Value {
    let mut body = expired("m1");
    body["detail"]["trace_id"] = json!(BODY_TRACE_ID);
    record("m1", body)
}

#[tokio::test]
async fn the_producers_sampling_decision_is_used_or_else_that_of_the_invocation() {
    for (record, invocation, trace_id, sampled) in [
        (record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "00")), SAMPLED, W3C_TRACE_ID, false),
        (record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "01")), UNSAMPLED, W3C_TRACE_ID, true),
        (record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "03")), UNSAMPLED, W3C_TRACE_ID, true),
        (record_with_xray_header(";Sampled=0"), SAMPLED, XRAY_TRACE_ID, false),
        (record_with_xray_header(";Sampled=1"), UNSAMPLED, XRAY_TRACE_ID, true),
        (record_with_xray_header(";Sampled=?"), UNSAMPLED, XRAY_TRACE_ID, false),
        (record_with_xray_header(""), UNSAMPLED, XRAY_TRACE_ID, false),
        (record_with_xray_header(""), SAMPLED, XRAY_TRACE_ID, true),
        (record_with_trace_id_in_body(), UNSAMPLED, BODY_TRACE_ID, false),
        (record_with_trace_id_in_body(), SAMPLED, BODY_TRACE_ID, true),
        (record("m1", expired("m1")), UNSAMPLED, INVOCATION_TRACE_ID, false),
        (record("m1", expired("m1")), SAMPLED, INVOCATION_TRACE_ID, true),
    ] {
        let traced = TracedApp::start(&[]).await;
        traced.app.hold("m1");
        let (run, spans) = traced.run(vec![record.clone()], invocation).await;

        let case = format!("{record} in {invocation}");
        let of_record = spans.iter().filter(|span| !span.attributes.contains_key("faas.coldstart"));
        assert_eq!(of_record.count(), if sampled { 3 } else { 0 }, "{case}");
        let of_invocation = spans.iter().any(|span| span.attributes.contains_key("faas.coldstart"));
        assert_eq!(of_invocation, invocation == SAMPLED, "{case}");
        let calls = traced.app.services.calls();
        assert_eq!(calls.len(), 2);
        for call in &calls {
            let (flags, sent) = (if sampled { "01" } else { "00" }, &call.headers["traceparent"]);
            assert!(sent.starts_with(&format!("00-{trace_id}-")) && sent.ends_with(flags), "{sent}: {case}");
            assert_eq!(call.headers["x-trace-id"], trace_id);
            let (flag, sent) = (if sampled { "1" } else { "0" }, &call.headers["x-amzn-trace-id"]);
            assert!(sent.ends_with(&format!(";Sampled={flag}")), "{sent}: {case}");
        }
        assert_ne!(
            calls[0].headers["traceparent"], calls[1].headers["traceparent"],
            "each call has its own span: {case}"
        );
        assert_eq!(run.line("m1")["trace_id"], trace_id);
        assert!(run.line("m1")["span_id"].is_string(), "{case}");
    }
}

#[tokio::test]
async fn without_a_trace_header_from_lambda_a_new_trace_is_started_and_sampled() {
    let traced = TracedApp::start(&[]).await;
    traced.app.hold("m1");
    let (_, spans) = traced.run(vec![record("m1", expired("m1"))], "").await;
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    // An X-Ray trace id starts with the time in seconds.
    let seconds = u64::from_str_radix(&spans[0].trace_id[..8], 16).unwrap();
    assert!(seconds.abs_diff(spans[0].time.start / 1_000_000_000) < 60, "{}", spans[0].trace_id);
}

#[tokio::test]
async fn without_a_trace_receiver_the_producers_context_is_propagated_unchanged() {
    let app = TestApp::new().await;
    ["m1", "m2"].iter().for_each(|id| app.hold(id));
    let producer_context = traceparent(W3C_TRACE_ID, "01");
    let run = run(
        &app,
        vec![record_with_traceparent("m1", &producer_context), record("m2", expired("m2"))],
        SAMPLED,
    )
    .await;

    for (id, expected) in
        [("m1", producer_context.as_str()), ("m2", "00-6af84039c2029f7c3ddb565ad52f1ac6-bdf943552fd52cd3-01")]
    {
        let calls = app.services.calls_for(id);
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|call| call.headers["traceparent"] == expected), "{calls:#?}");
        assert_eq!(run.line(id)["trace_id"], expected[3..35]);
        assert_eq!(run.line(id)["span_id"], Value::Null, "a line names a span that does not exist");
    }
}

#[tokio::test]
async fn a_record_without_a_trace_sends_no_trace_headers() {
    let app = TestApp::new().await;
    app.hold("m1");
    run(&app, vec![record("m1", expired("m1"))], "").await;
    for call in app.services.calls() {
        for header in ["traceparent", "tracestate", "x-trace-id", "x-amzn-trace-id"] {
            assert_eq!(call.headers.get(header), None);
        }
    }
}

/// W3C Trace Context recommends that at least 512 characters are propagated. A server permanently refuses the
/// headers of a call if the value is many times longer.
#[tokio::test]
async fn a_tracestate_of_more_than_512_characters_is_not_propagated() {
    let traced = TracedApp::start(&[]).await;
    for (id, member_length, propagated) in [("short", 245, true), ("long", 256, false)] {
        traced.app.hold(id);
        let state = format!("a={0},b={0}", "x".repeat(member_length));
        let mut record = record_with_traceparent(id, &traceparent(W3C_TRACE_ID, "01"));
        record["messageAttributes"]["tracestate"] = json!({ "stringValue": state, "dataType": "String" });
        let (run, _) = traced.run(vec![record], SAMPLED).await;
        assert_eq!(run.outcome(id), "success");
        for call in traced.app.services.calls_for(id) {
            assert_eq!(call.headers.get("tracestate") == Some(&state), propagated, "{id}");
        }
    }
}

#[tokio::test]
async fn only_the_tracestate_is_dropped_if_it_cannot_be_sent() {
    let traced = TracedApp::start(&[]).await;
    for state in ["a=1\r\nx-forged: 1", "a=\u{0}", "garbage", "=", "a=\u{20ac}"] {
        let id = format!("m{}", state.len());
        traced.app.hold(&id);
        let mut record = record_with_traceparent(&id, &traceparent(W3C_TRACE_ID, "01"));
        record["messageAttributes"]["tracestate"] = json!({ "stringValue": state, "dataType": "String" });
        let (run, _) = traced.run(vec![record], SAMPLED).await;
        assert_eq!(run.outcome(&id), "success", "{state:?}");
        for call in traced.app.services.calls_for(&id) {
            assert!(call.headers["traceparent"].starts_with("00-4bf92f35"), "{state:?}");
            assert_eq!(call.headers.get("x-forged"), None);
        }
    }
}
