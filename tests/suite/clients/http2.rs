//! An inventory that speaks HTTP/2 and means no good: streams reset, connections that go away in the middle of a
//! call, replies that are none. What happens to one call, no other call feels.

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

use crate::table::PATIENT;
use crate::test_app::{BatchRun, TestApp, approved, sqs};
use crate::wire::Server;

/// A `CommitReservationResponse` whose status is `SUCCESS`, in its frame.
const SOLD: &[u8] = &[0, 0, 0, 0, 2, 0x18, 1];

/// What is done with a call.
#[derive(Clone, Copy, Debug)]
enum Act {
    Sell,
    /// RST_STREAM.
    Reset(Reason),
    /// GOAWAY, and the connection is closed.
    GoAway(Reason),
    /// GOAWAY; what is under way is done, and then the connection is closed.
    SellAndLeave,
    /// This status, header and body, and then what says that all is well, if it is gRPC.
    Say(u16, (&'static str, &'static str), &'static [u8]),
    /// The same message again and again, with such pauses.
    SellForEver(Duration),
}

/// Does with each call what is said for its number.
async fn inventory(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Server {
    let shared = Arc::new((act, AtomicUsize::new(0)));
    Server::start(move |stream| {
        let shared = shared.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            let mut replies = JoinSet::new();
            while let Some(Ok((request, reply))) = connection.accept().await {
                let act = shared.0(shared.1.fetch_add(1, Ordering::SeqCst));
                perform(act, &mut connection, request.into_body(), reply, &mut replies);
            }
        }
    })
    .await
}

fn perform(
    act: Act,
    connection: &mut Connection<TcpStream, Bytes>,
    request: RecvStream,
    mut reply: SendResponse<Bytes>,
    replies: &mut JoinSet<Option<()>>,
) {
    let grpc = ("content-type", "application/grpc");
    match act {
        Act::Reset(reason) => reply.send_reset(reason),
        Act::GoAway(reason) => connection.abrupt_shutdown(reason),
        Act::Sell => _ = replies.spawn(say(request, reply, 200, grpc, SOLD)),
        Act::Say(status, header, body) => _ = replies.spawn(say(request, reply, status, header, body)),
        Act::SellAndLeave => {
            connection.graceful_shutdown();
            replies.spawn(say(request, reply, 200, grpc, SOLD));
        }
        Act::SellForEver(pause) => _ = replies.spawn(repeat(request, reply, pause)),
    }
}

/// `None` when the caller has gone.
async fn say(
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
    let well = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    stream.send_trailers(HeaderMap::from_iter([well])).ok()
}

async fn repeat(_: RecvStream, mut reply: SendResponse<Bytes>, pause: Duration) -> Option<()> {
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

/// A test app whose inventory is this one.
async fn with(inventory: &Server, variables: &[(&str, &str)]) -> TestApp {
    let services = Services::start().await.unwrap();
    let addr = inventory.addr();
    let variables = [&PATIENT[..], &[("INVENTORY_GRPC_ADDR", &addr)], variables].concat();
    let app = TestApp::of(services, &variables, RootCertStore::empty());
    ["r1", "r2"].iter().for_each(|id| app.hold(id));
    app
}

async fn pay(app: &TestApp) -> BatchRun {
    let run = app.run(sqs([("m-1", approved("r1")), ("m-2", approved("r2"))]));
    tokio::time::timeout(Duration::from_secs(120), run).await.unwrap()
}

/// Two payments, one after the other: each of the first one's tries meets this, and none of the second one's.
async fn meets(act: Act, tries: usize, variables: &[(&str, &str)]) -> (BatchRun, usize) {
    let server = inventory(move |number| if number < tries { act } else { Act::Sell }).await;
    let app = with(&server, &[&[("WORKER_CONCURRENCY", "1")], variables].concat()).await;
    let ran = pay(&app).await;
    assert_eq!(ran.outcome("m-2"), "success", "{act:?}: {}", ran.reason("m-2"));
    assert_eq!(ran.returned(), ["m-1"], "{act:?}");
    (ran, server.accepted())
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
async fn a_stream_that_is_reset_comes_again_and_the_connection_serves_the_next() {
    for reason in REASONS.into_iter().chain([Reason::from(0xdead)]) {
        let (ran, connections) = meets(Act::Reset(reason), 3, &[]).await;
        assert_eq!(ran.outcome("m-1"), "retried", "{reason:?}: {}", ran.reason("m-1"));
        assert_eq!(connections, 1, "{reason:?}");
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_in_the_middle_of_two_calls_costs_neither_its_result() {
    for reason in REASONS {
        let server = inventory(move |number| if number == 0 { Act::GoAway(reason) } else { Act::Sell }).await;
        let ran = pay(&with(&server, &[]).await).await;
        assert_eq!(ran.returned(), [""; 0], "{reason:?}: {}", ran.text);
        assert!(server.accepted() > 1, "{reason:?}");
    }
}

#[tokio::test]
async fn connections_that_all_go_away_leave_the_record_on_the_queue_and_the_others_done() {
    let server = inventory(|_| Act::GoAway(Reason::ENHANCE_YOUR_CALM)).await;
    let app = with(&server, &[]).await;
    let pending = json!({
        "detail-type": "Payment Status Updated",
        "detail": {
            "event_type": "payment.status_updated",
            "reservation_id": "r2",
            "status": "PAYMENT_STATUS_PENDING",
        },
    });
    let ran = app.run(sqs([("m-1", approved("r1")), ("m-2", json!("{")), ("m-3", pending)])).await;
    assert_eq!(ran.outcome("m-1"), "retried", "{}", ran.reason("m-1"));
    assert_eq!((ran.outcome("m-2"), ran.outcome("m-3")), ("invalid_payload", "ignored"));
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_connection_that_goes_away_in_good_order_costs_no_try() {
    let server = inventory(|_| Act::SellAndLeave).await;
    let app = with(&server, &[("WORKER_CONCURRENCY", "1")]).await;
    let ran = pay(&app).await;
    assert_eq!(ran.returned(), [""; 0], "{}", ran.text);
    assert_eq!(server.accepted(), 2);
    let tries = ran.log.iter().filter(|line| line["method"] == "CommitReservation");
    assert_eq!(tries.count(), 2);
}

#[tokio::test]
async fn a_reply_without_end_or_of_a_byte_now_and_then_is_not_waited_for() {
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        let (ran, _) = meets(Act::SellForEver(pause), 3, &[("INVENTORY_TIMEOUT_MS", "1000")]).await;
        let told = (ran.outcome("m-1"), ran.reason("m-1"));
        assert_eq!(told, ("retried", "inventory: DeadlineExceeded"), "{pause:?}");
    }
}

#[tokio::test]
async fn what_is_no_grpc_is_no_success() {
    let grpc = ("content-type", "application/grpc");
    let html = ("content-type", "text/html");
    let cases = [
        (Act::Say(200, html, b"<html>OK</html>"), "retried", "Internal", 3),
        (Act::Say(200, html, b""), "retried", "Unknown", 3),
        (Act::Say(200, ("content-type", "application/json"), b"{}"), "retried", "Internal", 3),
        (Act::Say(502, html, b"<html>Bad Gateway</html>"), "retried", "Internal", 3),
        (Act::Say(503, html, b""), "retried", "Unavailable", 3),
        (Act::Say(200, grpc, &[0, 0, 0, 0, 9, 0x18, 1]), "retried", "Internal", 3), // cut short
        (Act::Say(200, grpc, &[0, 0, 0, 0, 2, 0xff, 0xff]), "retried", "Internal", 3), // no message
        (Act::Say(200, grpc, &[1, 0, 0, 0, 2, 0x18, 1]), "retried", "Internal", 3), // compressed, not said how
        (Act::Say(200, grpc, &[9, 0, 0, 0, 2, 0x18, 1]), "retried", "Internal", 3), // a flag of no meaning
        // The client's own words for what it will not unpack and will not hold; no room is made for 4 GB.
        (Act::Say(200, ("grpc-encoding", "gzip"), &[1, 0, 0, 0, 2, 0x18, 1]), "failed", "Unimplemented", 1),
        (Act::Say(200, grpc, &[0, 0xff, 0xff, 0xff, 0xff, 0x18, 1]), "failed", "OutOfRange", 1),
    ];
    for (act, outcome, code, tries) in cases {
        let (ran, _) = meets(act, tries, &[]).await;
        assert_eq!(ran.outcome("m-1"), outcome, "{act:?}: {}", ran.reason("m-1"));
        assert!(ran.reason("m-1").contains(code), "{act:?}: {}", ran.reason("m-1"));
    }
}
