//! Nobody listening, or nobody answering: no wait, bounded memory, not a word.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{INVOCATIONS, LONG, run};
use crate::test_app::{BatchRun, TestApp, expired, record};

async fn invoke(app: &TestApp) -> BatchRun {
    run(app, vec![record("m1", expired("m1"))], INVOCATIONS).await
}

/// A port that nobody listens on.
fn free() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn nobody_listening_says_nothing_and_changes_nothing() {
    let (daemon, collector) = (free(), format!("http://{}", free()));
    for variables in [
        vec![("AWS_XRAY_DAEMON_ADDRESS", daemon.as_str())],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ] {
        let app = TestApp::with(&variables).await;
        app.hold("m1");
        for _ in 0..3 {
            let ran = invoke(&app).await;
            assert_eq!(ran.outcome("m1"), "success");
            assert_eq!(ran.log.len(), 1, "{}", ran.text);
            let flushed = timeout(LONG, app.flush(LONG * 2)).await;
            assert_eq!(flushed.expect("a refused connection is not waited for"), "", "{variables:?}");
        }
    }
}

#[tokio::test]
async fn only_debug_says_that_spans_are_lost() {
    let collector = format!("http://{}", free());
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector), ("LOG_LEVEL", "debug")]).await;
    invoke(&app).await;
    let line: Value = serde_json::from_str(&app.flush(LONG).await).unwrap();
    assert_eq!(
        (&line["message"], &line["level"]),
        (&Value::from("not all of these spans arrived"), &Value::from("DEBUG"))
    );
}

#[tokio::test]
async fn a_collector_that_hangs_is_waited_for_once_and_then_left_alone_for_a_while() {
    for protocol in ["grpc", "http/protobuf"] {
        // It takes connections, and that is all.
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
        assert!((within..within * 2).contains(&waited), "{waited:?} by {protocol}");
        tokio::time::resume();

        // The response is out before any of this, and the next one is not held up.
        assert_eq!(invoke(&app).await.outcome("m1"), "success");
        tokio::time::pause();
        let start = Instant::now();
        app.flush(within).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "by {protocol}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn what_is_never_sent_does_not_grow_without_bound() {
    let traced = super::Traced::start(&[]).await;
    let ids: Vec<_> = (0..500).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| traced.app.hold(id));
    for _ in 0..3 {
        run(&traced.app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATIONS).await;
    }
    traced.app.flush(LONG).await;
    assert_eq!(traced.collector.spans().len(), 4_096, "of 4,503");
    assert_eq!(traced.collector.requests(), 8, "512 in each");
}
