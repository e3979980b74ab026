//! An HTTP/2 inventory that misbehaves: it resets streams, closes connections during calls, and sends
//! replies that are not gRPC. A fault of one call does not affect the other calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use reservation_worker_local::Services;
use rustls::RootCertStore;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::Bytes;

use crate::table::GENEROUS_LIMITS;
use crate::test_app::{BatchRun, TestApp, approved, sqs};
use crate::wire::Server;

/// A `CommitReservationResponse` with the status `SUCCESS`, in a gRPC frame.
const SOLD: &[u8] = &[0, 0, 0, 0, 2, 0x18, 1];

/// What the server does when it receives a call.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// Replies that the seats are sold.
    Sell,
    /// Sends RST_STREAM.
    Reset(Reason),
    /// Sends GOAWAY and closes the connection.
    GoAway(Reason),
    /// Sends GOAWAY, completes the calls in flight with `Sell`, and then closes the connection.
    SellAndGoAway,
    /// Sends this HTTP status, header and body, and the trailer `grpc-status: 0` if the header says gRPC.
    Reply(u16, (&'static str, &'static str), &'static [u8]),
    /// Sends the bytes of `SOLD` again and again, with this pause after each byte.
    SellEndlessly(Duration),
}

/// Starts an inventory that performs `action(n)` for the n-th call, counted from 0 over all connections.
async fn start_inventory(action: impl Fn(usize) -> Action + Send + Sync + 'static) -> Server {
    start_limited_inventory(100, Duration::ZERO, action).await
}

/// The same, but with a limit for the calls at once on a connection. The client gets this limit after `delay`.
async fn start_limited_inventory(
    limit: u32,
    delay: Duration,
    action: impl Fn(usize) -> Action + Send + Sync + 'static,
) -> Server {
    let shared = Arc::new((action, AtomicUsize::new(0)));
    Server::start(move |stream| {
        let shared = shared.clone();
        async move {
            tokio::time::sleep(delay).await;
            let handshake = h2::server::Builder::new().max_concurrent_streams(limit).handshake(stream);
            let Ok(mut connection) = handshake.await else { return };
            let mut replies = JoinSet::new();
            while let Some(Ok((request, reply))) = connection.accept().await {
                let action = shared.0(shared.1.fetch_add(1, Ordering::SeqCst));
                perform(action, &mut connection, request.into_body(), reply, &mut replies);
            }
        }
    })
    .await
}

fn perform(
    action: Action,
    connection: &mut Connection<TcpStream, Bytes>,
    request: RecvStream,
    mut reply: SendResponse<Bytes>,
    replies: &mut JoinSet<Option<()>>,
) {
    let grpc = ("content-type", "application/grpc");
    match action {
        Action::Reset(reason) => reply.send_reset(reason),
        Action::GoAway(reason) => connection.abrupt_shutdown(reason),
        Action::Sell => _ = replies.spawn(send_reply(request, reply, 200, grpc, SOLD)),
        Action::Reply(status, header, body) => {
            _ = replies.spawn(send_reply(request, reply, status, header, body))
        }
        Action::SellAndGoAway => {
            connection.graceful_shutdown();
            replies.spawn(send_reply(request, reply, 200, grpc, SOLD));
        }
        Action::SellEndlessly(pause) => _ = replies.spawn(reply_endlessly(request, reply, pause)),
    }
}

/// Reads the request to its end and sends a reply. Returns `None` if the client has disconnected.
async fn send_reply(
    mut request: RecvStream,
    mut reply: SendResponse<Bytes>,
    status: u16,
    (name, value): (&str, &str),
    body: &'static [u8],
) -> Option<()> {
    while request.data().await.is_some() {}
    let head = Response::builder().status(status).header(name, value).body(()).unwrap();
    let mut stream = reply.send_response(head, false).ok()?;
    let is_grpc = value == "application/grpc";
    stream.send_data(Bytes::from_static(body), !is_grpc).ok()?;
    if !is_grpc {
        return Some(());
    }
    let ok = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    stream.send_trailers(HeaderMap::from_iter([ok])).ok()
}

async fn reply_endlessly(_: RecvStream, mut reply: SendResponse<Bytes>, pause: Duration) -> Option<()> {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = reply.send_response(head, false).ok()?;
    for byte in SOLD.iter().cycle() {
        stream.reserve_capacity(1);
        while stream.capacity() == 0 {
            std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        }
        stream.send_data(Bytes::from_static(std::slice::from_ref(byte)), false).ok()?;
        tokio::time::sleep(pause).await;
    }
    None
}

/// A test app with this inventory, and with holds `r1` and `r2`.
async fn app_with_inventory(inventory: &Server, variables: &[(&str, &str)]) -> TestApp {
    let services = Services::start().await.unwrap();
    let addr = inventory.addr();
    let variables = [&GENEROUS_LIMITS[..], &[("INVENTORY_GRPC_ADDR", &addr)], variables].concat();
    let app = TestApp::of(services, &variables, RootCertStore::empty());
    ["r1", "r2"].iter().for_each(|id| app.hold(id));
    app
}

/// Runs a batch with an approved payment for each of the two holds.
async fn pay(app: &TestApp) -> BatchRun {
    let batch = app.run(sqs([("m-1", approved("r1")), ("m-2", approved("r2"))]));
    tokio::time::timeout(Duration::from_secs(120), batch).await.unwrap()
}

/// Runs two payments, one after the other. The server performs `action` for the first `attempts` calls,
/// which belong to the first payment, and `Sell` for all later calls. Returns the batch run and the number
/// of connections.
async fn first_payment_gets(
    action: Action,
    attempts: usize,
    variables: &[(&str, &str)],
) -> (BatchRun, usize) {
    let server = start_inventory(move |number| if number < attempts { action } else { Action::Sell }).await;
    let app = app_with_inventory(&server, &[&[("WORKER_CONCURRENCY", "1")], variables].concat()).await;
    let run = pay(&app).await;
    assert_eq!(run.outcome("m-2"), "success", "{action:?}: {}", run.reason("m-2"));
    assert_eq!(run.returned(), ["m-1"], "{action:?}");
    (run, server.accepted())
}

const REASONS: [Reason; 9] = [
    Reason::NO_ERROR,
    Reason::PROTOCOL_ERROR,
    Reason::INTERNAL_ERROR,
    Reason::FLOW_CONTROL_ERROR,
    Reason::REFUSED_STREAM,
    Reason::CANCEL,
    Reason::ENHANCE_YOUR_CALM,
    Reason::INADEQUATE_SECURITY,
    Reason::HTTP_1_1_REQUIRED,
];

#[tokio::test]
async fn a_record_whose_streams_are_reset_is_retried_and_the_connection_stays_in_use() {
    for reason in REASONS.into_iter().chain([Reason::from(0xdead)]) {
        let (run, connections) = first_payment_gets(Action::Reset(reason), 3, &[]).await;
        assert_eq!(run.outcome("m-1"), "retried", "{reason:?}: {}", run.reason("m-1"));
        assert_eq!(connections, 1, "{reason:?}");
    }
}

#[tokio::test]
async fn a_goaway_that_closes_the_connection_during_two_calls_fails_neither_record() {
    for reason in REASONS {
        let server =
            start_inventory(move |number| if number == 0 { Action::GoAway(reason) } else { Action::Sell })
                .await;
        let run = pay(&app_with_inventory(&server, &[]).await).await;
        assert_eq!(run.returned(), [""; 0], "{reason:?}: {}", run.text);
        assert!(server.accepted() > 1, "{reason:?}");
    }
}

#[tokio::test]
async fn a_goaway_on_every_connection_does_not_affect_records_without_calls() {
    let server = start_inventory(|_| Action::GoAway(Reason::ENHANCE_YOUR_CALM)).await;
    let app = app_with_inventory(&server, &[]).await;
    let pending = json!({
        "detail-type": "Payment Status Updated",
        "detail": {
            "event_type": "payment.status_updated",
            "reservation_id": "r2",
            "status": "PAYMENT_STATUS_PENDING",
        },
    });
    let run = app.run(sqs([("m-1", approved("r1")), ("m-2", json!("{")), ("m-3", pending)])).await;
    assert_eq!(run.outcome("m-1"), "retried", "{}", run.reason("m-1"));
    assert_eq!((run.outcome("m-2"), run.outcome("m-3")), ("invalid_payload", "ignored"));
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn calls_above_the_servers_limit_wait_and_none_is_refused() {
    for limit in [1, 10] {
        // Meanwhile all calls arrive at the connection.
        let server = start_limited_inventory(limit, Duration::from_millis(500), |_| Action::Sell).await;
        let app = app_with_inventory(&server, &[("WORKER_CONCURRENCY", "50")]).await;
        let ids: Vec<_> = (0..50).map(|number| format!("many-{number}")).collect();
        ids.iter().for_each(|id| app.hold(id));

        let run = app.run(sqs(ids.iter().map(|id| (id.as_str(), approved(id))))).await;

        assert_eq!(run.returned(), [""; 0], "limit {limit}: {}", run.text);
        let attempts = run.log.iter().filter(|line| line["method"] == "CommitReservation");
        assert_eq!((attempts.count(), server.accepted()), (50, 1), "limit {limit}");
    }
}

#[tokio::test]
async fn a_graceful_goaway_causes_no_second_attempt() {
    let server = start_inventory(|_| Action::SellAndGoAway).await;
    let app = app_with_inventory(&server, &[("WORKER_CONCURRENCY", "1")]).await;
    let run = pay(&app).await;
    assert_eq!(run.returned(), [""; 0], "{}", run.text);
    assert_eq!(server.accepted(), 2);
    let attempts = run.log.iter().filter(|line| line["method"] == "CommitReservation");
    assert_eq!(attempts.count(), 2);
}

#[tokio::test]
async fn an_endless_or_slow_reply_is_ended_by_the_time_out() {
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        let (run, _) =
            first_payment_gets(Action::SellEndlessly(pause), 3, &[("INVENTORY_TIMEOUT_MS", "1000")]).await;
        let result = (run.outcome("m-1"), run.reason("m-1"));
        assert_eq!(result, ("retried", "inventory: DEADLINE_EXCEEDED"), "{pause:?}");
    }
}

#[tokio::test]
async fn a_reply_that_is_not_valid_grpc_is_not_a_success() {
    let grpc = ("content-type", "application/grpc");
    let html = ("content-type", "text/html");
    let cases = [
        (Action::Reply(200, html, b"<html>OK</html>"), "retried", "INTERNAL", 3),
        (Action::Reply(200, html, b""), "retried", "UNKNOWN", 3),
        (Action::Reply(200, ("content-type", "application/json"), b"{}"), "retried", "INTERNAL", 3),
        (Action::Reply(502, html, b"<html>Bad Gateway</html>"), "retried", "INTERNAL", 3),
        (Action::Reply(503, html, b""), "retried", "UNAVAILABLE", 3),
        // A truncated message.
        (Action::Reply(200, grpc, &[0, 0, 0, 0, 9, 0x18, 1]), "retried", "INTERNAL", 3),
        // Not a protobuf message.
        (Action::Reply(200, grpc, &[0, 0, 0, 0, 2, 0xff, 0xff]), "retried", "INTERNAL", 3),
        // A compressed message without the header `grpc-encoding`.
        (Action::Reply(200, grpc, &[1, 0, 0, 0, 2, 0x18, 1]), "retried", "INTERNAL", 3),
        // An unknown flag.
        (Action::Reply(200, grpc, &[9, 0, 0, 0, 2, 0x18, 1]), "retried", "INTERNAL", 3),
        // The client itself reports the next two codes. It does not decompress, and it rejects a message of
        // 4 GB without allocating memory for it.
        (
            Action::Reply(200, ("grpc-encoding", "gzip"), &[1, 0, 0, 0, 2, 0x18, 1]),
            "retried",
            "UNIMPLEMENTED",
            1,
        ),
        (Action::Reply(200, grpc, &[0, 0xff, 0xff, 0xff, 0xff, 0x18, 1]), "failed", "OUT_OF_RANGE", 1),
    ];
    for (action, outcome, code, attempts) in cases {
        let (run, _) = first_payment_gets(action, attempts, &[]).await;
        assert_eq!(run.outcome("m-1"), outcome, "{action:?}: {}", run.reason("m-1"));
        assert!(run.reason("m-1").contains(code), "{action:?}: {}", run.reason("m-1"));
    }
}
