//! A trace receiver that does not listen or does not answer: no waiting, bounded memory, nothing logged.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use reservation_worker_local::Services;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{INVOCATION_HEADER, LONG, run};
use crate::test_app::{BatchRun, TestApp, expired, record};

async fn invoke(app: &TestApp) -> BatchRun {
    run(app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await
}

/// A local address on which nothing listens.
fn unused_address() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_receiver_that_does_not_listen_changes_no_outcome_and_nothing_is_logged() {
    let (daemon, collector) = (unused_address(), format!("http://{}", unused_address()));
    for variables in [
        vec![("AWS_XRAY_DAEMON_ADDRESS", daemon.as_str())],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ] {
        let app = TestApp::with(&variables).await;
        app.hold("m1");
        for _ in 0..3 {
            let run = invoke(&app).await;
            assert_eq!(run.outcome("m1"), "success");
            assert_eq!(run.log.len(), 1, "{}", run.text);
            let flushed = timeout(LONG, app.flush(LONG * 2)).await;
            assert_eq!(
                flushed.expect("the flush does not wait for a refused connection"),
                "",
                "{variables:?}"
            );
        }
    }
}

#[tokio::test]
async fn lost_spans_are_logged_only_at_debug_level() {
    let collector = format!("http://{}", unused_address());
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector), ("LOG_LEVEL", "debug")]).await;
    invoke(&app).await;
    let line: Value = serde_json::from_str(&app.flush(LONG).await).unwrap();
    assert_eq!(
        (&line["message"], &line["level"]),
        (&Value::from("spans not sent, or only in part"), &Value::from("DEBUG"))
    );
}

/// Starts a gRPC server that replies with this code when this number of calls wait for a reply. Returns its URL.
async fn reply_to_grpc(code: &'static str, calls: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let mut waiting = Vec::new();
        while let Some(Ok((_, call))) = connection.accept().await {
            waiting.push(call);
            if waiting.len() == calls {
                for mut call in waiting.drain(..) {
                    let reply = http::Response::builder().header("grpc-status", code).body(()).unwrap();
                    call.send_response(reply, true).unwrap();
                }
            }
        }
    });
    url
}

#[tokio::test]
async fn the_log_at_debug_level_says_why_a_collector_refused_spans() {
    let no_collector = Services::start().await.unwrap();
    for (protocol, endpoint, reason) in [
        ("grpc", reply_to_grpc("7", 1).await, "gRPC code 7"),
        ("grpc", format!("http://{}", no_collector.inventory_addr()), "HTTP status 404"),
        ("grpc", format!("http://{}", unused_address()), "Connection refused"),
        ("http/protobuf", no_collector.reservation_api_base(), "status code: 404"),
    ] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("LOG_LEVEL", "debug"),
        ];
        let app = TestApp::with(&variables).await;
        invoke(&app).await;
        let log = app.flush(LONG).await;
        assert!(log.contains("spans not sent, or only in part") && log.contains(reason), "{log}");
    }
}

/// All messages of a flush share one time limit.
#[tokio::test]
async fn messages_are_sent_concurrently_by_grpc() {
    let endpoint = reply_to_grpc("7", 8).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("LOG_LEVEL", "debug"),
    ];
    let app = TestApp::with(&variables).await;
    let ids: Vec<_> = (0..1_365).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    run(&app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATION_HEADER).await;
    let log = app.flush(LONG).await;
    // Each of the eight messages is sent twice.
    assert_eq!(log.matches("gRPC code 7").count(), 16, "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_is_waited_for_once_and_then_skipped_for_a_while() {
    for protocol in ["grpc", "http/protobuf"] {
        // It accepts connections and never answers.
        let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", hangs.local_addr().unwrap());
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let app = TestApp::with(&variables).await;
        app.hold("m1");
        assert_eq!(invoke(&app).await.outcome("m1"), "success");

        tokio::time::pause();
        let (within, start) = (Duration::from_millis(200), Instant::now());
        assert_eq!(app.flush(within).await, "");
        let waited = start.elapsed();
        assert!((within..within * 2).contains(&waited), "{waited:?} over {protocol}");
        tokio::time::resume();

        // The flush follows the response, and the next invocation does not wait for the collector.
        assert_eq!(invoke(&app).await.outcome("m1"), "success");
        tokio::time::pause();
        let start = Instant::now();
        app.flush(within).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "over {protocol}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn the_number_of_unsent_spans_is_limited() {
    let traced = super::TracedApp::start(&[]).await;
    let ids: Vec<_> = (0..500).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| traced.app.hold(id));
    for _ in 0..3 {
        run(&traced.app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATION_HEADER).await;
    }
    traced.app.flush(LONG).await;
    assert_eq!(traced.collector.spans().len(), 4_096, "of 4,503 spans");
    assert_eq!(traced.collector.requests(), 8, "512 spans per request");
}
