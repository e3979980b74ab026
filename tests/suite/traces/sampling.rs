//! Whether a trace is sampled, its producer has decided, or else Lambda.

use serde_json::{Value, json};

use super::{BODY, INVOCATION, Traced, W3C, XRAY, run, traced, traceparent};
use crate::test_app::{TestApp, expired, record};

const SAMPLED: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=1";
const UNSAMPLED: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=0";

fn by_xray(decision: &str) -> Value {
    let mut record = record("m1", expired("m1"));
    record["attributes"]["AWSTraceHeader"] =
        json!(format!("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8{decision}"));
    record
}

fn by_body() -> Value {
    let mut body = expired("m1");
    body["detail"]["trace_id"] = json!(BODY);
    record("m1", body)
}

#[tokio::test]
async fn the_producers_decision_counts_and_the_invocations_where_there_is_none() {
    for (record, invocation, trace_id, sampled) in [
        (traced("m1", &traceparent(W3C, "00")), SAMPLED, W3C, false),
        (traced("m1", &traceparent(W3C, "01")), UNSAMPLED, W3C, true),
        (traced("m1", &traceparent(W3C, "03")), UNSAMPLED, W3C, true),
        (by_xray(";Sampled=0"), SAMPLED, XRAY, false),
        (by_xray(";Sampled=1"), UNSAMPLED, XRAY, true),
        (by_xray(";Sampled=?"), UNSAMPLED, XRAY, false),
        (by_xray(""), UNSAMPLED, XRAY, false),
        (by_xray(""), SAMPLED, XRAY, true),
        (by_body(), UNSAMPLED, BODY, false),
        (by_body(), SAMPLED, BODY, true),
        (record("m1", expired("m1")), UNSAMPLED, INVOCATION, false),
        (record("m1", expired("m1")), SAMPLED, INVOCATION, true),
    ] {
        let traced = Traced::start(&[]).await;
        traced.app.hold("m1");
        let (ran, spans) = traced.run(vec![record.clone()], invocation).await;

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
        assert_ne!(calls[0].headers["traceparent"], calls[1].headers["traceparent"], "a span each: {case}");
        assert_eq!(ran.line("m1")["trace_id"], trace_id);
        assert!(ran.line("m1")["span_id"].is_string(), "{case}");
    }
}

#[tokio::test]
async fn without_a_header_of_lambdas_a_new_trace_is_begun_and_sampled() {
    let traced = Traced::start(&[]).await;
    traced.app.hold("m1");
    let (_, spans) = traced.run(vec![record("m1", expired("m1"))], "").await;
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    // X-Ray's ids begin with the time.
    let seconds = u64::from_str_radix(&spans[0].trace_id[..8], 16).unwrap();
    assert!(seconds.abs_diff(spans[0].time.start / 1_000_000_000) < 60, "{}", spans[0].trace_id);
}

#[tokio::test]
async fn with_nowhere_to_send_spans_the_producers_context_is_passed_on_as_it_came() {
    let app = TestApp::new().await;
    ["m1", "m2"].iter().for_each(|id| app.hold(id));
    let producers = traceparent(W3C, "01");
    let ran = run(&app, vec![traced("m1", &producers), record("m2", expired("m2"))], SAMPLED).await;

    for (id, expected) in
        [("m1", producers.as_str()), ("m2", "00-6af84039c2029f7c3ddb565ad52f1ac6-bdf943552fd52cd3-01")]
    {
        let calls = app.services.calls_for(id);
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|call| call.headers["traceparent"] == expected), "{calls:#?}");
        assert_eq!(ran.line(id)["trace_id"], expected[3..35]);
        assert_eq!(ran.line(id)["span_id"], Value::Null, "there is no span");
    }
}

#[tokio::test]
async fn a_record_of_no_trace_sends_no_headers_of_one() {
    let app = TestApp::new().await;
    app.hold("m1");
    run(&app, vec![record("m1", expired("m1"))], "").await;
    for call in app.services.calls() {
        for header in ["traceparent", "tracestate", "x-trace-id", "x-amzn-trace-id"] {
            assert_eq!(call.headers.get(header), None);
        }
    }
}

/// W3C wants 512 characters to be passed on; many times that, and a server refuses the headers for good.
#[tokio::test]
async fn a_tracestate_that_is_too_long_is_not_passed_on() {
    let traced = Traced::start(&[]).await;
    for (id, member, passed_on) in [("short", 245, true), ("long", 256, false)] {
        traced.app.hold(id);
        let state = format!("a={0},b={0}", "x".repeat(member));
        let mut record = super::traced(id, &traceparent(W3C, "01"));
        record["messageAttributes"]["tracestate"] = json!({ "stringValue": state, "dataType": "String" });
        let (ran, _) = traced.run(vec![record], SAMPLED).await;
        assert_eq!(ran.outcome(id), "success");
        for call in traced.app.services.calls_for(id) {
            assert_eq!(call.headers.get("tracestate") == Some(&state), passed_on, "{id}");
        }
    }
}

#[tokio::test]
async fn a_tracestate_that_cannot_be_sent_costs_nothing_but_itself() {
    let traced = Traced::start(&[]).await;
    for state in ["a=1\r\nx-forged: 1", "a=\u{0}", "garbage", "=", "a=\u{20ac}"] {
        let id = format!("m{}", state.len());
        traced.app.hold(&id);
        let mut record = super::traced(&id, &traceparent(W3C, "01"));
        record["messageAttributes"]["tracestate"] = json!({ "stringValue": state, "dataType": "String" });
        let (ran, _) = traced.run(vec![record], SAMPLED).await;
        assert_eq!(ran.outcome(&id), "success", "{state:?}");
        for call in traced.app.services.calls_for(&id) {
            assert!(call.headers["traceparent"].starts_with("00-4bf92f35"), "{state:?}");
            assert_eq!(call.headers.get("x-forged"), None);
        }
    }
}
