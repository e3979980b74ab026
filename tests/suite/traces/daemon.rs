//! The protocol of the X-Ray daemon: one document per datagram.

use reservation_worker_local::trace_receivers::{Daemon, segments};
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{INVOCATION_HEADER, LONG, W3C_TRACE_ID, record_with_traceparent, run, traceparent};
use crate::test_app::{TestApp, expired, record};

async fn app(daemon: &Daemon) -> TestApp {
    let address = daemon.address().unwrap();
    let app = TestApp::with(&[("AWS_XRAY_DAEMON_ADDRESS", address.as_str())]).await;
    ["m1", "m2"].iter().for_each(|id| app.hold(id));
    app
}

async fn sent(app: &TestApp, daemon: &Daemon, number: usize) -> Vec<Map<String, Value>> {
    assert_eq!(app.flush(LONG).await, "");
    let sent = receive_segments(daemon, number).await;
    assert_eq!(daemon.documents().unwrap(), [Value::Null; 0]);
    sent
}

/// Receives this number of segments, nested subsegments included.
async fn receive_segments(daemon: &Daemon, number: usize) -> Vec<Map<String, Value>> {
    let mut sent = Vec::new();
    while sent.len() < number {
        let document = timeout(LONG, daemon.document()).await;
        let document = document.unwrap_or_else(|_| panic!("received {} of {number} segments", sent.len()));
        sent.extend(segments(&document.unwrap()));
    }
    sent
}

fn segment_of_message<'a>(segments: &'a [Map<String, Value>], message_id: &str) -> &'a Map<String, Value> {
    let has_message_id =
        |segment: &&Map<String, Value>| segment["annotations"]["messaging_message_id"] == message_id;
    segments.iter().filter(|segment| segment.contains_key("annotations")).find(has_message_id).unwrap()
}

#[tokio::test]
async fn each_record_and_call_is_a_subsegment_in_the_producers_trace_or_lambdas_trace() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    app.services.fault(Fault::on(Operation::UpdateStatus, "m1", Effect::http(503)).times(1));
    let records =
        vec![record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "01")), record("m2", expired("m2"))];
    run(&app, records, INVOCATION_HEADER).await;
    let segments = sent(&app, &daemon, 8).await;

    let (producer_trace, lambda_trace) =
        ("1-4bf92f35-77b34da6a3ce929d0e0e4736", "1-6af84039-c2029f7c3ddb565ad52f1ac6");
    let invocation = segments.iter().find(|segment| segment["parent_id"] == "bdf943552fd52cd3").unwrap();
    for (message_id, trace_id, parent) in
        [("m1", producer_trace, "00f067aa0ba902b7"), ("m2", lambda_trace, invocation["id"].as_str().unwrap())]
    {
        let record_segment = segment_of_message(&segments, message_id);
        assert_eq!(record_segment["name"], "process reservation-events");
        assert_eq!(
            (&record_segment["trace_id"], &record_segment["parent_id"]),
            (&json!(trace_id), &json!(parent))
        );
        let annotations = &record_segment["annotations"];
        assert_eq!(annotations["reservation_worker_outcome"], "success");
        assert_eq!(annotations["reservation_worker_reservation_id"], message_id);
        assert_eq!(annotations["faas_invocation_id"], "request-1", "the link to the invocation");
        let calls: Vec<_> =
            segments.iter().filter(|segment| segment["parent_id"] == record_segment["id"]).collect();
        assert_eq!(calls.len(), if message_id == "m1" { 3 } else { 2 });
        for call in &calls {
            assert_eq!((&call["trace_id"], &call["namespace"]), (&json!(trace_id), &json!("remote")));
            assert!(call["end_time"].as_f64() >= call["start_time"].as_f64());
            assert!(!call.contains_key("sql"), "a service is not a database: {call:?}");
        }
        let sent = app.services.calls_for(message_id);
        let id = |traceparent: &str| traceparent[36..52].to_owned();
        for call in &sent {
            let span_id = id(&call.headers["traceparent"]);
            assert!(calls.iter().any(|segment| segment["id"] == span_id), "{span_id} in {calls:#?}");
        }
        let inventory = calls.iter().find(|call| call["name"] == "inventory").unwrap();
        assert_eq!(inventory["annotations"]["rpc_response_status_code"], "OK");
        let patch = calls.iter().find(|call| call["http"]["response"]["status"] == 200).unwrap();
        assert_eq!(
            (&patch["name"], &patch["http"]["request"]["method"]),
            (&json!("reservation-api"), &json!("PATCH"))
        );
    }
    let refused = segments
        .iter()
        .find(|segment| segment.get("http").is_some_and(|http| http["response"]["status"] == 503));
    let refused = refused.unwrap();
    assert_eq!(
        (&refused["fault"], &refused["annotations"]["error_type"]),
        (&json!(true), &json!("503")),
        "{refused:#?}"
    );
    let exception = &refused["cause"]["exceptions"][0];
    assert_eq!((&exception["type"], &exception["message"]), (&json!("503"), &json!("reservation API: 503")));
}

/// Short documents are sent together; documents that are longer than a packet are sent one by one.
#[tokio::test]
async fn documents_of_all_lengths_arrive() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    let message_ids: Vec<_> = (0..40).map(|number| "m".repeat(1 + 50 * number)).collect();
    let records = message_ids.iter().map(|id| record(id, json!("not an event"))).collect();
    run(&app, records, INVOCATION_HEADER).await;

    let segments = sent(&app, &daemon, 41).await;

    let mut received: Vec<_> =
        segments.iter().filter_map(|segment| segment["annotations"].get("messaging_message_id")).collect();
    received.sort_by_key(|id| id.as_str().unwrap().len());
    assert_eq!(json!(received), json!(message_ids));
}

#[tokio::test]
async fn the_segment_of_a_failed_record_contains_the_reason() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    app.services.fault(Fault::on(Operation::UpdateStatus, "m1", Effect::http(422)));
    run(&app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;
    let segments = sent(&app, &daemon, 3).await;
    let failed = segment_of_message(&segments, "m1");
    assert_eq!(failed["fault"], true);
    let exception = &failed["cause"]["exceptions"][0];
    assert_eq!(
        (&exception["type"], &exception["message"]),
        (&json!("reservation_api_rejected"), &json!("reservation API: 422"))
    );
}

/// X-Ray distinguishes errors of the client, throttling and faults of the server.
#[tokio::test]
async fn a_failed_call_is_marked_as_error_throttle_or_fault_by_its_status() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    for (status, fault, error, throttle) in
        [(422, false, true, false), (429, false, true, true), (500, true, false, false)]
    {
        app.services.fault(Fault::on(Operation::UpdateStatus, "m1", Effect::http(status)).times(1));
        run(&app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;
        app.flush(LONG).await;
        let is_the_call = |segment: &Map<String, Value>| {
            segment.get("http").is_some_and(|http| http["response"]["status"] == status)
        };
        let call = loop {
            let document = timeout(LONG, daemon.document()).await.unwrap().unwrap();
            if let Some(call) = segments(&document).into_iter().find(is_the_call) {
                break call;
            }
        };
        let marks = (&call["fault"], &call["error"], &call["throttle"]);
        assert_eq!(marks, (&json!(fault), &json!(error), &json!(throttle)), "{status}");
    }
}

#[tokio::test]
async fn an_invocation_without_a_lambda_trace_is_a_segment() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    run(&app, vec![record("m1", expired("m1"))], "").await;
    let segments = sent(&app, &daemon, 4).await;
    let (roots, others): (Vec<_>, Vec<_>) =
        segments.iter().partition(|segment| !segment.contains_key("parent_id"));
    let [invocation] = roots[..] else { panic!("{segments:#?}") };
    assert!(!invocation.contains_key("type"), "{invocation:#?}");
    assert_eq!(invocation["annotations"]["faas_invocation_id"], "request-1");
    let record_segment = segment_of_message(&segments, "m1");
    assert_eq!(
        (&record_segment["parent_id"], &record_segment["type"]),
        (&invocation["id"], &json!("subsegment"))
    );
    assert_eq!(others.len(), 3);
}

#[tokio::test]
async fn a_record_is_one_document_that_contains_its_calls_in_order() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    let records = ["m1", "m2"].map(|id| record_with_traceparent(id, &traceparent(W3C_TRACE_ID, "01")));
    run(&app, records.into(), INVOCATION_HEADER).await;
    app.flush(LONG).await;
    let mut documents = Vec::new();
    for _ in 0..3 {
        documents.push(timeout(LONG, daemon.document()).await.unwrap().unwrap());
    }
    assert_eq!(daemon.documents().unwrap(), [Value::Null; 0]);
    let (records, others): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| document.get("subsegments").is_some());
    assert_eq!((records.len(), others.len()), (2, 1), "two records and the invocation: {documents:#?}");
    for document in records {
        assert_eq!(document["type"], "subsegment");
        let calls = document["subsegments"].as_array().unwrap();
        let names: Vec<_> = calls.iter().map(|call| &call["name"]).collect();
        assert_eq!(names, ["reservation-api", "inventory"]);
        for call in calls {
            let call = call.as_object().unwrap();
            let present = ["type", "trace_id", "parent_id"].map(|field| call.contains_key(field));
            assert_eq!(present, [false; 3], "a nested call takes these fields from its document: {call:#?}");
        }
    }
}

#[tokio::test]
async fn a_record_whose_producer_does_not_sample_is_not_sent() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    let records =
        vec![record_with_traceparent("m1", &traceparent(W3C_TRACE_ID, "00")), record("m2", expired("m2"))];
    let run = run(&app, records, INVOCATION_HEADER).await;
    assert_eq!(run.line("m1")["trace_id"], W3C_TRACE_ID);
    let segments = sent(&app, &daemon, 4).await;
    assert!(segments.iter().all(|segment| !json!(segment).to_string().contains("4bf92f35")), "{segments:#?}");
    segment_of_message(&segments, "m2");
}

#[tokio::test]
async fn nothing_is_sent_to_the_daemon_if_there_is_a_collector() {
    let (daemon, traced) = (Daemon::start().await.unwrap(), super::TracedApp::start(&[]).await);
    let (address, endpoint) = (daemon.address().unwrap(), traced.collector.endpoint());
    let app =
        TestApp::with(&[("AWS_XRAY_DAEMON_ADDRESS", &address), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)])
            .await;
    app.hold("m1");
    run(&app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;
    app.flush(LONG).await;
    assert_eq!(traced.collector.spans().len(), 4);
    assert_eq!(daemon.documents().unwrap(), [Value::Null; 0]);
}

/// A socket of Linux buffers about 90 of these datagrams, which is more than the function sends here.
#[tokio::test]
async fn a_large_batch_of_one_trace_arrives_completely() {
    let daemon = Daemon::start().await.unwrap();
    let app = app(&daemon).await;
    let ids: Vec<_> = (0..60).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    run(&app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATION_HEADER).await;
    app.flush(LONG).await;
    assert_eq!(receive_segments(&daemon, 181).await.len(), 181);
}
