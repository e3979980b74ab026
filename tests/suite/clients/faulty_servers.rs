//! Services that misbehave: their replies are endless, slow, not HTTP, or missing.

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

use crate::table::{GENEROUS_LIMITS, Kind, PATCH, app_with_generous_limits, operations};
use crate::test_app::{BatchRun, TestApp, sqs};
use crate::wire::{Server, request};

/// The time limit of a batch, long enough for a slow machine. A test that reaches it fails.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A test app with the hold `r1`. `variable` is the address of one of its services, and is set to `address`.
async fn with_server(variable: &str, address: &str, variables: &[(&str, &str)]) -> TestApp {
    let services = Services::start().await.unwrap();
    let variables = [&GENEROUS_LIMITS[..], &[(variable, address)], variables].concat();
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

/// Runs a batch with an approved payment for the hold `r1`.
async fn pay(app: &TestApp) -> BatchRun {
    let event = Kind::Approved.event("r1");
    tokio::time::timeout(TEST_TIMEOUT, app.run(sqs([("m-1", event)]))).await.unwrap()
}

#[tokio::test]
async fn a_path_prefix_is_used_with_or_without_a_trailing_slash() {
    let request_lines = Arc::new(Mutex::new(Vec::new()));
    let seen = request_lines.clone();
    let server = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let line = request(&mut stream).await.lines().next().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(line);
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
        assert_eq!(request_lines.lock().unwrap().drain(..).collect::<Vec<_>>(), [line], "{prefix:?}");
    }
}

#[tokio::test]
async fn the_inventory_is_called_at_host_and_port_or_at_a_url() {
    let services = Services::start().await.unwrap();
    let addr = services.inventory_addr();
    let port = addr.rsplit_once(':').unwrap().1.to_owned();
    let forms =
        [addr.clone(), format!("http://{addr}"), format!("http://{addr}/"), format!("localhost:{port}")];
    for form in forms {
        let app = with_server("INVENTORY_GRPC_ADDR", &form, &[]).await;
        // This is not the app's own inventory, so it does not have the hold.
        let run = pay(&app).await;
        assert!(run.reason("m-1").contains("NOT_FOUND"), "{form}: {}", run.reason("m-1"));
    }
    assert_eq!(services.calls_for("r1").len(), 4);
}

#[tokio::test]
async fn an_endless_body_is_read_only_in_part() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    let (done, mut bytes_sent) = mpsc::unbounded_channel();
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

    // The status is 200 and the event has its seats, so the body is not needed.
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    let sent = tokio::time::timeout(TEST_TIMEOUT, bytes_sent.recv()).await.unwrap().unwrap();
    // The server can send no more than the buffers of the sockets hold.
    assert!(sent < 32 << 20, "{sent} bytes were sent");

    // An event without seats needs the reservation, which cannot be read from an endless body.
    let event = Kind::Approved.event_without_facts("r1");
    let run = tokio::time::timeout(TEST_TIMEOUT, app.run(sqs([("m-2", event)]))).await.unwrap();
    assert_eq!(run.outcome("m-2"), "retried");
}

#[tokio::test]
async fn a_record_whose_reply_has_endless_headers_is_retried() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: one of an endless number of headers\r\n").await.is_ok() {}
    })
    .await;
    let app = with_api(&server, &[]).await;
    assert_eq!(pay(&app).await.outcome("m-1"), "retried");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
}

/// Sends `text` one byte every 100 ms, until the client disconnects.
async fn send_slowly(stream: &mut tokio::net::TcpStream, text: &str) {
    for byte in text.bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_slow_status_line_is_ended_by_the_time_out() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        send_slowly(&mut stream, &"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(100)).await;
    })
    .await;
    let app = with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await;
    let run = pay(&app).await;
    assert_eq!(run.outcome("m-1"), "retried");
    assert_eq!(run.reason("m-1"), "reservation API: no reply in time");
    assert_eq!(server.accepted(), 3, "a connection with an unfinished reply is not reused");
    assert_eq!(app.services.calls(), []);
}

#[tokio::test]
async fn a_slow_body_is_ended_by_the_time_out() {
    let server = Server::start(|mut stream| async move {
        request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        send_slowly(&mut stream, &" ".repeat(1_000)).await;
    })
    .await;
    let app = with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await;
    // The event has its seats, so the status line is enough.
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    let run = app.run(sqs([("m-2", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(run.outcome("m-2"), "retried");
}

#[tokio::test]
async fn a_call_to_a_service_that_never_replies_is_ended_by_the_time_out() {
    let silent = || {
        Server::start(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
    };
    let server = silent().await;
    let run = pay(&with_api(&server, &[("RESERVATION_API_TIMEOUT_MS", "300")]).await).await;
    assert_eq!((run.outcome("m-1"), run.reason("m-1")), ("retried", "reservation API: no reply in time"));
    assert_eq!(server.accepted(), 3);

    let server = silent().await;
    let run = pay(&with_inventory(&server, &[("INVENTORY_TIMEOUT_MS", "300")]).await).await;
    assert_eq!((run.outcome("m-1"), run.reason("m-1")), ("retried", "inventory: DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_call_whose_connection_closes_without_a_reply_is_attempted_three_times_and_the_record_is_retried() {
    let server = Server::replying("").await;
    let run = pay(&with_api(&server, &[]).await).await;
    assert_eq!(run.outcome("m-1"), "retried", "{}", run.reason("m-1"));
    assert_eq!(server.accepted(), 3);
    let run = pay(&with_inventory(&Server::start(|_| async {}).await, &[]).await).await;
    assert_eq!(run.outcome("m-1"), "retried", "{}", run.reason("m-1"));
}

#[tokio::test]
async fn a_record_whose_reply_is_not_http_is_retried() {
    for reply in
        ["220 mail.example ESMTP\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 000 Zero\r\n\r\n", "\0\0\0\u{12}"]
    {
        let run = pay(&with_api(&Server::replying(reply).await, &[]).await).await;
        assert_eq!(run.outcome("m-1"), "retried", "{reply:?}: {}", run.reason("m-1"));
        let run =
            pay(&with_inventory(&Server::replying(reply).await, &[("INVENTORY_TIMEOUT_MS", "300")]).await)
                .await;
        assert_eq!(run.outcome("m-1"), "retried", "{reply:?}: {}", run.reason("m-1"));
    }
}

#[tokio::test]
async fn a_record_whose_inventory_replies_in_http_1_is_retried() {
    let reply = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let run =
        pay(&with_inventory(&Server::replying(reply).await, &[("INVENTORY_TIMEOUT_MS", "300")]).await).await;
    assert_eq!(run.outcome("m-1"), "retried", "{}", run.reason("m-1"));
}

#[tokio::test]
async fn a_reply_with_a_truncated_body_counts_as_a_reply_without_a_body() {
    let truncated = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{body}")
    };
    let reservation = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "status": "CONFIRMED"});
    let server = Server::replying(truncated("200 OK", &reservation.to_string())).await;
    let app = with_api(&server, &[]).await;
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [Kind::Approved.inventory_call()]);

    let server = Server::replying(truncated("404 Not Found", r#"{"error": {"#)).await;
    let run = pay(&with_api(&server, &[]).await).await;
    assert_eq!((run.outcome("m-1"), run.reason("m-1")), ("retried", "reservation API: 404"));
}

#[tokio::test]
async fn the_content_type_of_a_reply_is_ignored() {
    for content_type in
        ["text/html", "application/json; charset=utf-8", "application/problem+json", "nonsense", ""]
    {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        let body =
            json!({"event_id": "evt_1", "user_id": "user_1", "seat_ids": ["r1/A-1", "r1/A-2"]}).to_string();
        let content_type = content_type.to_owned();
        app.services.fault(Fault::any(PATCH, Effect::Body { content_type, body }));
        let run = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
        assert_eq!(run.outcome("m-1"), "success");
        assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.inventory_call()]);
    }
}

#[tokio::test]
async fn a_compressed_body_is_neither_requested_nor_decompressed() {
    let reservation = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "user_id": "user_1"});
    let compression_bomb = format!("{reservation}{}", " ".repeat(32 << 20));
    for text in [reservation.to_string(), compression_bomb] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let body = gzip.finish().unwrap();
        assert!(body.len() < 64 << 10, "{} bytes are more than is read of a body", body.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n", body.len());
        let reply = [head.as_bytes(), &body].concat();
        let (request_sender, mut requests) = mpsc::unbounded_channel();
        let server = Server::start(move |mut stream| {
            let (reply, request_sender) = (reply.clone(), request_sender.clone());
            async move {
                request_sender.send(request(&mut stream).await.to_lowercase()).unwrap();
                let _ = stream.write_all(&reply).await;
            }
        })
        .await;
        let app = with_api(&server, &[]).await;

        let records =
            [("m-1", Kind::Approved.event_without_facts("r1")), ("m-2", Kind::Approved.event("r1"))];
        let run = tokio::time::timeout(TEST_TIMEOUT, app.run(sqs(records))).await.unwrap();

        // m-1 needs the reservation in the body, which cannot be read. m-2 needs only the status line.
        assert_eq!((run.outcome("m-1"), run.outcome("m-2")), ("retried", "success"));
        assert!(!requests.recv().await.unwrap().contains("accept-encoding"));
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_not_a_reservation() {
    let body = b"{\"event_id\": \"evt_1\", \"seat_ids\": [\"A-\xff\"]}";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let server = Server::replying([head.as_bytes(), body].concat()).await;
    let app = with_api(&server, &[]).await;
    let run = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(run.outcome("m-1"), "retried");
    assert_eq!(app.services.calls(), [], "the inventory is not called");
}
