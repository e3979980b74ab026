//! Services that are not what they should be: too much, too slow, not HTTP, nothing at all.

use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reservation_worker_local::{Effect, Fault, SeatState, Services};
use rustls::RootCertStore;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::table::{Kind, PATCH, PATIENT, operations, patient};
use crate::test_app::{BatchRun, TestApp, sqs};
use crate::wire::{Server, request};

/// Long enough for any machine; a test that needs it has failed.
const GUARD: Duration = Duration::from_secs(60);

/// A test app whose function takes `server` for one of the services.
async fn with_server(variable: &str, address: &str, variables: &[(&str, &str)]) -> TestApp {
    let services = Services::start().await.unwrap();
    let variables = [&PATIENT[..], &[(variable, address)], variables].concat();
    let app = TestApp::of(services, &variables, RootCertStore::empty());
    app.hold("r1");
    app
}

async fn with_api(server: &Server, variables: &[(&str, &str)]) -> TestApp {
    with_server("RESERVATION_API_BASE", &server.base(), variables).await
}

async fn with_inventory(server: &Server, variables: &[(&str, &str)]) -> TestApp {
    with_server("INVENTORY_GRPC_ADDR", &server.addr(), variables).await
}

async fn pay(app: &TestApp) -> BatchRun {
    let event = Kind::Approved.event("r1");
    tokio::time::timeout(GUARD, app.run(sqs([("m-1", event)]))).await.unwrap()
}

#[tokio::test]
async fn a_path_prefix_is_kept_with_or_without_a_slash_at_its_end() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = seen.clone();
    let server = Server::start(move |mut stream| {
        let lines = lines.clone();
        async move {
            let line = request(&mut stream).await.lines().next().unwrap_or_default().to_owned();
            lines.lock().unwrap().push(line);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    })
    .await;
    let expected = [
        ("", "PATCH /internal/reservations/r1 HTTP/1.1"),
        ("/", "PATCH /internal/reservations/r1 HTTP/1.1"),
        ("/api", "PATCH /api/internal/reservations/r1 HTTP/1.1"),
        ("/api/v1/", "PATCH /api/v1/internal/reservations/r1 HTTP/1.1"),
        ("/a%20b", "PATCH /a%20b/internal/reservations/r1 HTTP/1.1"),
    ];
    for (prefix, line) in expected {
        let base = format!("{}{prefix}", server.base());
        let app = with_server("RESERVATION_API_BASE", &base, &[]).await;
        assert_eq!(pay(&app).await.outcome("m-1"), "success");
        assert_eq!(seen.lock().unwrap().drain(..).collect::<Vec<_>>(), [line], "{prefix:?}");
    }
}

#[tokio::test]
async fn the_inventory_is_reached_by_host_and_port_or_by_url() {
    let services = Services::start().await.unwrap();
    let addr = services.inventory_addr();
    let port = addr.rsplit_once(':').unwrap().1.to_owned();
    let forms =
        [addr.clone(), format!("http://{addr}"), format!("http://{addr}/"), format!("localhost:{port}")];
    for form in forms {
        let app = with_server("INVENTORY_GRPC_ADDR", &form, &[]).await;
        // Another inventory than the app's own: it knows no such hold.
        let ran = pay(&app).await;
        assert!(ran.reason("m-1").contains("NOT_FOUND"), "{form}: {}", ran.reason("m-1"));
    }
    assert_eq!(services.calls_for("r1").len(), 4);
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    let (done, mut hung_up) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let (chunk, done) = (chunk.clone(), done.clone());
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            let mut sent: usize = 0;
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent += chunk.len();
            }
            let _ = done.send(sent);
        }
    })
    .await;
    let app = with_api(&server, &[]).await;

    // The status is 200, and the event knows its seats.
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    let sent = tokio::time::timeout(GUARD, hung_up.recv()).await.unwrap().unwrap();
    // What sockets hold on their way, and no more.
    assert!(sent < 32 << 20, "{sent} bytes were taken");

    // A reservation that comes in such a body cannot be read.
    let event = Kind::Approved.event_without_facts("r1");
    let ran = tokio::time::timeout(GUARD, app.run(sqs([("m-2", event)]))).await.unwrap();
    assert_eq!(ran.outcome("m-2"), "retried");
}

#[tokio::test]
async fn headers_without_end_are_not_read_to_their_end() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: of the same, on and on and on\r\n").await.is_ok() {}
    })
    .await;
    let app = with_api(&server, &[]).await;
    assert_eq!(pay(&app).await.outcome("m-1"), "retried");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
}

/// Sends `text` a byte at a time, for ever if it takes that long.
async fn drip(stream: &mut tokio::net::TcpStream, text: &str) {
    for byte in text.bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_reply_that_comes_a_byte_at_a_time_is_not_waited_for() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        drip(&mut stream, &"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(100)).await;
    })
    .await;
    let app = with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await;
    let ran = pay(&app).await;
    assert_eq!(ran.outcome("m-1"), "retried");
    assert_eq!(ran.reason("m-1"), "reservation API: no reply in time");
    assert_eq!(server.accepted(), 3, "a connection in the middle of a reply was used again");
    assert_eq!(app.services.calls(), []);
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_not_waited_for() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        drip(&mut stream, &" ".repeat(1_000)).await;
    })
    .await;
    let app = with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await;
    // The status line says it all.
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    let ran = app.run(sqs([("m-2", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(ran.outcome("m-2"), "retried");
}

#[tokio::test]
async fn a_service_that_accepts_and_says_nothing_is_not_waited_for() {
    let silent = || {
        Server::start(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
    };
    let server = silent().await;
    let ran = pay(&with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await).await;
    assert_eq!((ran.outcome("m-1"), ran.reason("m-1")), ("retried", "reservation API: no reply in time"));
    assert_eq!(server.accepted(), 3);

    let server = silent().await;
    let ran = pay(&with_inventory(&server, &[("INVENTORY_TIMEOUT_MS", "300")]).await).await;
    assert_eq!((ran.outcome("m-1"), ran.reason("m-1")), ("retried", "inventory: DeadlineExceeded"));
}

#[tokio::test]
async fn a_connection_closed_without_a_reply_is_tried_three_times_and_comes_again() {
    let server = Server::replying("").await;
    let ran = pay(&with_api(&server, &[]).await).await;
    assert_eq!(ran.outcome("m-1"), "retried", "{}", ran.reason("m-1"));
    assert_eq!(server.accepted(), 3);
    let ran = pay(&with_inventory(&Server::start(|_| async {}).await, &[]).await).await;
    assert_eq!(ran.outcome("m-1"), "retried", "{}", ran.reason("m-1"));
}

#[tokio::test]
async fn what_is_not_http_comes_again() {
    for reply in
        ["220 mail.example ESMTP\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 000 Zero\r\n\r\n", "\0\0\0\u{12}"]
    {
        let ran = pay(&with_api(&Server::replying(reply).await, &[]).await).await;
        assert_eq!(ran.outcome("m-1"), "retried", "{reply:?}: {}", ran.reason("m-1"));
        let ran =
            pay(&with_inventory(&Server::replying(reply).await, &[("INVENTORY_TIMEOUT_MS", "300")]).await)
                .await;
        assert_eq!(ran.outcome("m-1"), "retried", "{reply:?}: {}", ran.reason("m-1"));
    }
}

#[tokio::test]
async fn an_inventory_that_speaks_http_1_comes_again() {
    let reply = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let ran =
        pay(&with_inventory(&Server::replying(reply).await, &[("INVENTORY_TIMEOUT_MS", "300")]).await).await;
    assert_eq!(ran.outcome("m-1"), "retried", "{}", ran.reason("m-1"));
}

#[tokio::test]
async fn a_reply_that_breaks_off_in_its_body_counts_as_one_without() {
    let cut = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{body}")
    };
    let whole = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "status": "CONFIRMED"});
    let server = Server::replying(cut("200 OK", &whole.to_string())).await;
    let app = with_api(&server, &[]).await;
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [Kind::Approved.seat_call()]);

    let server = Server::replying(cut("404 Not Found", r#"{"error": {"#)).await;
    let ran = pay(&with_api(&server, &[]).await).await;
    assert_eq!((ran.outcome("m-1"), ran.reason("m-1")), ("failed", "reservation API: 404"));
}

#[tokio::test]
async fn the_content_type_of_a_reply_is_not_looked_at() {
    for content_type in
        ["text/html", "application/json; charset=utf-8", "application/problem+json", "nonsense", ""]
    {
        let app = patient(&[]).await;
        app.hold("r1");
        let body =
            json!({"event_id": "evt_1", "user_id": "user_1", "seat_ids": ["r1/A-1", "r1/A-2"]}).to_string();
        let content_type = content_type.to_owned();
        app.services.fault(Fault::any(PATCH, Effect::Body { content_type, body }));
        let ran = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
        assert_eq!(ran.outcome("m-1"), "success");
        assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.seat_call()]);
    }
}

#[tokio::test]
async fn a_compressed_body_is_neither_asked_for_nor_unpacked() {
    let reservation = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "user_id": "user_1"});
    let bomb = format!("{reservation}{}", " ".repeat(32 << 20));
    for text in [reservation.to_string(), bomb] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let body = gzip.finish().unwrap();
        assert!(body.len() < 64 << 10, "{} bytes would not be read anyway", body.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n", body.len());
        let reply = [head.as_bytes(), &body].concat();
        let (asked, mut requests) = mpsc::unbounded_channel();
        let server = Server::start(move |mut stream| {
            let (reply, asked) = (reply.clone(), asked.clone());
            async move {
                asked.send(request(&mut stream).await.to_lowercase()).unwrap();
                let _ = stream.write_all(&reply).await;
            }
        })
        .await;
        let app = with_api(&server, &[]).await;

        let records =
            [("m-1", Kind::Approved.event_without_facts("r1")), ("m-2", Kind::Approved.event("r1"))];
        let ran = tokio::time::timeout(GUARD, app.run(sqs(records))).await.unwrap();

        // A reservation cannot be read; the status line can.
        assert_eq!((ran.outcome("m-1"), ran.outcome("m-2")), ("retried", "success"));
        assert!(!requests.recv().await.unwrap().contains("accept-encoding"));
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_no_reservation() {
    let body = b"{\"event_id\": \"evt_1\", \"seat_ids\": [\"A-\xff\"]}";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let server = Server::replying([head.as_bytes(), body].concat()).await;
    let app = with_api(&server, &[]).await;
    let ran = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(ran.outcome("m-1"), "retried");
    assert_eq!(app.services.calls(), [], "no seat was asked for");
}
