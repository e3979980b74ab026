//! Contract section 8, traces: the headers sent to both services, and the spans sent to a trace receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reservation_worker_local::trace_receivers::{Collector, Span};
use serde_json::{Value, json};

use crate::spans::{assert_line_has_ids_of, invocation};
use crate::test_app::{BatchRun, TestApp, context, expired, record};

mod attempts;
mod connections;
mod daemon;
mod no_receiver;
mod panics;
mod sampling;

const LONG: Duration = Duration::from_secs(60);

const W3C_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const XRAY_TRACE_ID: &str = "5759e988bd862e3fe1be46a994272793";
const BODY_TRACE_ID: &str = "930eb9a790c7cb0c3a3c48f5434819ba";
const INVOCATION_TRACE_ID: &str = "6af84039c2029f7c3ddb565ad52f1ac6";
const INVOCATION_HEADER: &str = "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Parent=bdf943552fd52cd3;Sampled=1";

/// A collector, and a function that sends its spans to it.
struct TracedApp {
    collector: Collector,
    app: TestApp,
}

impl TracedApp {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let collector = Collector::start().await.unwrap();
        let endpoint = collector.endpoint();
        let variables = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())], variables].concat();
        Self { app: TestApp::with(&variables).await, collector }
    }

    /// Runs these records in an invocation with this X-Ray header, and returns the spans of the invocation.
    async fn run(&self, records: Vec<Value>, xray: &str) -> (BatchRun, Vec<Span>) {
        let before = self.collector.spans().len();
        let run = run(&self.app, records, xray).await;
        assert_eq!(self.app.flush(LONG).await, "", "nothing is logged");
        (run, self.collector.spans().split_off(before))
    }
}

async fn run(app: &TestApp, records: Vec<Value>, xray: &str) -> BatchRun {
    let mut context = context(Duration::ZERO);
    context.xray_trace_id = Some(xray.to_owned()).filter(|header| !header.is_empty());
    context.invoked_function_arn = "arn:aws:lambda:ap-northeast-2:123456789012:function:worker".to_owned();
    app.run_in(json!({ "Records": records }), context).await.unwrap()
}

/// A `reservation.expired` record with the message attribute `traceparent`.
fn record_with_traceparent(message_id: &str, traceparent: &str) -> Value {
    let mut record = record(message_id, expired(message_id));
    record["messageAttributes"]["traceparent"] = json!({ "stringValue": traceparent, "dataType": "String" });
    record
}

fn traceparent(trace_id: &str, flags: &str) -> String {
    format!("00-{trace_id}-00f067aa0ba902b7-{flags}")
}

fn span_of_message<'a>(spans: &'a [Span], message_id: &str) -> &'a Span {
    spans.iter().find(|span| span.attributes.get("messaging.message.id") == Some(&json!(message_id))).unwrap()
}

fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let is_child = |span: &&Span| span.parent_id == parent.span_id && span.trace_id == parent.trace_id;
    spans.iter().filter(is_child).collect()
}

#[tokio::test]
async fn the_producers_trace_continues_to_both_services_from_every_carrier() {
    let mut w3c = record_with_traceparent("w3c", &traceparent(W3C_TRACE_ID, "01"));
    w3c["messageAttributes"]["tracestate"] = json!({ "stringValue": "shop=7,pay=x", "dataType": "String" });
    let mut xray = record("xray", expired("xray"));
    xray["attributes"]["AWSTraceHeader"] = json!(
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:0"
    );
    let mut body = expired("body");
    body["detail"]["trace_id"] = json!(BODY_TRACE_ID);
    let records = [
        ("w3c", w3c, W3C_TRACE_ID, "00f067aa0ba902b7", Some("shop=7,pay=x")),
        ("xray", xray, XRAY_TRACE_ID, "53995c3f42cd8ad8", None),
        // The producer's span is unknown. The last 16 digits of the trace id are used instead.
        ("body", record("body", body), BODY_TRACE_ID, "3c3a", None),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        let traced = TracedApp::start(&[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        for (id, record, trace_id, producer, state) in records.clone() {
            traced.app.hold(id);
            let (run, spans) = traced.run(vec![record], INVOCATION_HEADER).await;

            let record_span = span_of_message(&spans, id);
            assert_eq!(record_span.trace_id, trace_id);
            let parent = if id == "body" { &trace_id[16..] } else { producer };
            assert_eq!(record_span.parent_id, parent, "{id}");
            assert_eq!(record_span.trace_state, state.unwrap_or_default());
            assert_eq!(
                record_span.links,
                [(INVOCATION_TRACE_ID.to_owned(), invocation(&spans).span_id.clone())]
            );
            let line = run.line(id);
            assert_eq!(
                (&line["trace_id"], &line["span_id"]),
                (&json!(trace_id), &json!(record_span.span_id))
            );

            let call_spans = children(&spans, record_span);
            let calls = traced.app.services.calls_for(id);
            assert_eq!((call_spans.len(), calls.len()), (2, 2), "{id}");
            for (call, span) in calls.iter().zip(call_spans) {
                let expected = format!("00-{trace_id}-{}-01", span.span_id);
                assert_eq!(call.headers["traceparent"], expected, "{id} over {protocol}");
                assert_eq!(call.headers["x-trace-id"], trace_id);
                let (root, parent) = (format!("1-{}-{}", &trace_id[..8], &trace_id[8..]), &span.span_id);
                let xray = format!("Root={root};Parent={parent};Sampled=1");
                assert_eq!(
                    call.headers["x-amzn-trace-id"], xray,
                    "the header contains no field of the tracestate"
                );
                assert_eq!(call.headers.get("tracestate").map(String::as_str), state);
            }
        }
        assert_eq!(traced.collector.requests(), 3, "one request per invocation over {protocol}");
    }
}

#[tokio::test]
async fn ten_records_of_ten_producers_belong_to_ten_traces_linked_to_one_invocation() {
    let traced = TracedApp::start(&[]).await;
    let ids: Vec<_> = (1..=10).map(|number| format!("{number:032x}")).collect();
    ids.iter().for_each(|id| traced.app.hold(id));
    let records = ids.iter().map(|id| record_with_traceparent(id, &traceparent(id, "01"))).collect();
    let (_, spans) = traced.run(records, INVOCATION_HEADER).await;

    assert_eq!(spans.len(), 31, "the invocation, ten records, and two calls for each record");
    let invocation = invocation(&spans);
    assert_eq!(
        (invocation.trace_id.as_str(), invocation.parent_id.as_str()),
        (INVOCATION_TRACE_ID, "bdf943552fd52cd3")
    );
    let traces: BTreeSet<_> = ids.iter().map(|id| span_of_message(&spans, id).trace_id.clone()).collect();
    assert_eq!(traces, ids.iter().cloned().collect());
    for id in &ids {
        let links = &span_of_message(&spans, id).links;
        assert_eq!(*links, [(INVOCATION_TRACE_ID.to_owned(), invocation.span_id.clone())]);
    }
    let span_ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(span_ids.len(), 31, "two spans have the same id");
}

#[tokio::test]
async fn a_record_without_a_trace_of_its_producer_is_a_child_of_the_invocation() {
    let traced = TracedApp::start(&[]).await;
    traced.app.hold("m1");
    let (_, spans) = traced.run(vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;

    let invocation = invocation(&spans);
    let record_span = span_of_message(&spans, "m1");
    assert_eq!((&record_span.trace_id, &record_span.parent_id), (&invocation.trace_id, &invocation.span_id));
    assert_eq!(record_span.links, []);
    assert!(invocation.time.start <= record_span.time.start && record_span.time.end <= invocation.time.end);
}

#[tokio::test]
async fn spans_have_the_attributes_of_the_semantic_conventions() {
    let traced = TracedApp::start(&[]).await;
    traced.app.hold("m1");
    let mut record = traced_record();
    record["attributes"]["ApproximateReceiveCount"] = json!("2");
    let (_, spans) = traced.run(vec![record], INVOCATION_HEADER).await;

    let record_span = span_of_message(&spans, "m1");
    let call_spans = children(&spans, record_span);
    let address = |url: &str| {
        let (host, port) = url.trim_start_matches("http://").split_once(':').unwrap();
        (json!(host), json!(port.parse::<u16>().unwrap()))
    };
    let api = traced.app.services.reservation_api_base();
    let (api_host, api_port) = address(&api);
    let (inventory_host, inventory_port) = address(&traced.app.services.inventory_addr());
    let common = json!({
        "faas.trigger": "pubsub",
        "messaging.system": "aws_sqs",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "reservation-events",
    });
    for (span, name, kind, specific) in [
        (
            invocation(&spans),
            "process reservation-events",
            "Consumer",
            json!({
                "faas.invocation_id": "request-1",
                "faas.coldstart": true,
                "aws.lambda.invoked_arn": "arn:aws:lambda:ap-northeast-2:123456789012:function:worker",
                "cloud.account.id": "123456789012",
                "messaging.batch.message_count": 1,
            }),
        ),
        (
            record_span,
            "process reservation-events",
            "Consumer",
            json!({
                "faas.invocation_id": "request-1",
                "messaging.message.id": "m1",
                "reservation_worker.attempt": 2,
                "reservation_worker.event_type": "reservation.expired",
                "reservation_worker.reservation_id": "m1",
                "reservation_worker.outcome": "success",
            }),
        ),
        (
            call_spans[0],
            "PATCH /internal/reservations/{id}",
            "Client",
            json!({
                "http.request.method": "PATCH",
                "http.response.status_code": 200,
                "url.full": format!("{api}/internal/reservations/m1"),
                "server.address": api_host,
                "server.port": api_port,
                "peer.service": "reservation-api",
                "service.peer.name": "reservation-api",
            }),
        ),
        (
            call_spans[1],
            "reservation.v1.InventoryService/ReleaseHold",
            "Client",
            json!({
                "rpc.system.name": "grpc",
                "rpc.method": "reservation.v1.InventoryService/ReleaseHold",
                "rpc.response.status_code": "OK",
                "server.address": inventory_host,
                "server.port": inventory_port,
                "peer.service": "inventory",
                "service.peer.name": "inventory",
            }),
        ),
    ] {
        assert_eq!((span.name.as_str(), span.kind.as_str(), &span.error), (name, kind, &None));
        let mut expected: BTreeMap<String, Value> = serde_json::from_value(specific).unwrap();
        if kind == "Consumer" {
            expected.extend(common.as_object().unwrap().clone());
        }
        assert_eq!(span.attributes, expected, "{name}");
        assert_eq!(span.resource["service.name"], "reservation-worker");
    }
}

fn traced_record() -> Value {
    record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "01"))
}
