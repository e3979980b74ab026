//! Connections to a collector that are lost while the execution environment is frozen.

use std::sync::Arc;
use std::time::Duration;

use reservation_worker_local::trace_receivers::Collector;
use sqs_batch::ClockReading;
use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

use super::{INVOCATION_HEADER, LONG, run};
use crate::test_app::{TestApp, expired, record};

/// How the client notices that a connection is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// The peer has closed the connection.
    Closed,
    /// A device between client and peer answers data on the connection with a reset, as a NAT gateway does.
    Reset,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// Forwards connections to a collector, and ends all of them at a signal from the returned sender.
fn forward(listener: TcpListener, collector: &Collector, loss: Loss) -> watch::Sender<()> {
    let ((end_connections, end_signal), target) = (watch::channel(()), collector.endpoint());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            let mut end_signal = end_signal.clone();
            end_signal.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = end_signal.changed() => if let Loss::Reset = loss {
                        // Waits for a request. Frames of HTTP/2 that concern only the connection are shorter.
                        while matches!(client.read(&mut [0; 1_024]).await, Ok(1..64)) {}
                        client.set_zero_linger().unwrap();
                    }
                }
            });
        }
    });
    end_connections
}

#[tokio::test]
async fn a_lost_connection_loses_no_span() {
    for protocol in ["grpc", "http/protobuf"] {
        for loss in [Loss::Closed, Loss::Reset] {
            let collector = Collector::start().await.unwrap();
            let (listener, endpoint) = listen().await;
            let end_connections = forward(listener, &collector, loss);
            let variables = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ];
            let app = TestApp::with(&variables).await;
            for number in 1..=3 {
                let id = format!("m{number}");
                app.hold(&id);
                run(&app, vec![record(&id, expired(&id))], INVOCATION_HEADER).await;
                app.flush(LONG).await;
                assert_eq!(collector.spans().len(), 4 * number, "{loss:?} over {protocol}");
                end_connections.send_replace(());
            }
        }
    }
}

/// All messages of a flush share one time limit.
#[tokio::test]
async fn messages_are_sent_concurrently() {
    let collector = Collector::start().await.unwrap();
    let (listener, endpoint) = listen().await;
    let (target, all_eight) = (collector.endpoint(), Arc::new(Barrier::new(8)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            let all_eight = all_eight.clone();
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let replies = async {
                    all_eight.wait().await;
                    copy(&mut from_server, &mut to_client).await
                };
                let _ = tokio::join!(copy(&mut from_client, &mut to_server), replies);
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
    run(&app, ids.iter().map(|id| record(id, expired(id))).collect(), INVOCATION_HEADER).await;
    app.flush(LONG).await;
    assert_eq!(collector.spans().len(), 4_096);
}

#[tokio::test]
async fn spans_that_are_not_sent_in_time_are_sent_by_the_next_flush() {
    for protocol in ["grpc", "http/protobuf"] {
        let traced = super::TracedApp::start(&[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await;
        traced.app.hold("m1");
        for (within, sent) in [(LONG, 4), (Duration::ZERO, 4), (LONG, 12)] {
            run(&traced.app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;
            traced.app.flush(within).await;
            assert_eq!(traced.collector.spans().len(), sent, "over {protocol}");
        }
    }
}

/// The monotonic clock can stop while the environment is frozen.
#[tokio::test]
async fn a_collector_that_did_not_answer_is_called_again_after_30_s_by_either_clock() {
    let (listener, endpoint) = listen().await;
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    app.hold("m1");
    let (start, short) = (ClockReading::now(), Duration::from_millis(50));
    let flush = async |now: ClockReading, within| {
        run(&app, vec![record("m1", expired("m1"))], INVOCATION_HEADER).await;
        app.flush_at(now, within).await;
    };
    flush(start, short).await;
    let collector = Collector::start().await.unwrap();
    let _end_connections = forward(listener, &collector, Loss::Closed);
    let after = |monotonic, wall| ClockReading {
        instant: start.instant + Duration::from_secs(monotonic),
        time: start.time + Duration::from_secs(wall),
    };
    for (monotonic, wall, sent) in [(29, 29, 0), (0, 30, 4), (30, 0, 8)] {
        flush(after(monotonic, wall), LONG).await;
        assert_eq!(
            collector.spans().len(),
            sent,
            "{monotonic} s by the monotonic clock, {wall} s by the wall clock"
        );
    }
}
