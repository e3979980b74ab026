//! Connections to a collector that did not outlive the time in which the environment was frozen.

use std::sync::Arc;
use std::time::Duration;

use reservation_worker::telemetry::metrics::ClockReading;
use reservation_worker_local::trace_receivers::Collector;
use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

use super::{INVOCATIONS, LONG, run};
use crate::test_app::{TestApp, expired, record};

/// How a connection ends whose other side is there no more.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The other side has closed it.
    Closed,
    /// Whoever is in between answers what comes on it with a reset, as a NAT gateway does.
    Reset,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// Passes on to a collector, and ends all connections when told to.
fn pass_on(listener: TcpListener, collector: &Collector, end: End) -> watch::Sender<()> {
    let ((frozen, seen), target) = (watch::channel(()), collector.endpoint());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            let mut seen = seen.clone();
            seen.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = seen.changed() => if let End::Reset = end {
                        // A request, and not what HTTP/2 has to say of a connection.
                        while matches!(client.read(&mut [0; 1_024]).await, Ok(1..64)) {}
                        client.set_zero_linger().unwrap();
                    }
                }
            });
        }
    });
    frozen
}

#[tokio::test]
async fn a_connection_that_has_gone_costs_no_span() {
    for protocol in ["grpc", "http/protobuf"] {
        for end in [End::Closed, End::Reset] {
            let collector = Collector::start().await.unwrap();
            let (listener, endpoint) = listen().await;
            let frozen = pass_on(listener, &collector, end);
            let variables = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ];
            let app = TestApp::with(&variables).await;
            for number in 1..=3 {
                let id = format!("m{number}");
                app.hold(&id);
                run(&app, vec![record(&id, expired(&id))], INVOCATIONS).await;
                app.flush(LONG).await;
                assert_eq!(collector.spans().len(), 4 * number, "{end:?} by {protocol}");
                frozen.send_replace(());
            }
        }
    }
}

/// Messages share the time in which they must be sent.
#[tokio::test]
async fn messages_go_side_by_side() {
    let collector = Collector::start().await.unwrap();
    let (listener, endpoint) = listen().await;
    let (target, all_eight) = (collector.endpoint(), Arc::new(Barrier::new(8)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            let all_eight = all_eight.clone();
            tokio::spawn(async move {
                let ((mut asks, mut hears), (mut answers, mut asked)) =
                    (client.into_split(), server.into_split());
                let answer = async {
                    all_eight.wait().await;
                    copy(&mut answers, &mut hears).await
                };
                let _ = tokio::join!(copy(&mut asks, &mut asked), answer);
            });
        }
    });
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let app = TestApp::with(&variables).await;
    let ids: Vec<_> = (0..1_365).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    run(&app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATIONS).await;
    app.flush(LONG).await;
    assert_eq!(collector.spans().len(), 4_096);
}

#[tokio::test]
async fn without_time_nothing_is_lost() {
    for protocol in ["grpc", "http/protobuf"] {
        let traced = super::Traced::start(&[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        traced.app.hold("m1");
        for (within, sent) in [(LONG, 4), (Duration::ZERO, 4), (LONG, 12)] {
            run(&traced.app, vec![record("m1", expired("m1"))], INVOCATIONS).await;
            traced.app.flush(within).await;
            assert_eq!(traced.collector.spans().len(), sent, "by {protocol}");
        }
    }
}

/// A frozen environment's monotonic clock may stand still.
#[tokio::test]
async fn a_collector_that_did_not_answer_is_asked_again_after_30_s_by_either_clock() {
    let (listener, endpoint) = listen().await;
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    app.hold("m1");
    let (start, short) = (ClockReading::now(), Duration::from_millis(50));
    let flush = async |now: ClockReading, within| {
        run(&app, vec![record("m1", expired("m1"))], INVOCATIONS).await;
        app.flush_at(now, within).await;
    };
    flush(start, short).await;
    let collector = Collector::start().await.unwrap();
    let _frozen = pass_on(listener, &collector, End::Closed);
    let after = |monotonic, wall| ClockReading {
        instant: start.instant + Duration::from_secs(monotonic),
        time: start.time + Duration::from_secs(wall),
    };
    for (monotonic, wall, sent) in [(29, 29, 0), (0, 30, 4), (30, 0, 8)] {
        flush(after(monotonic, wall), LONG).await;
        assert_eq!(collector.spans().len(), sent, "{monotonic} s, {wall} s");
    }
}
