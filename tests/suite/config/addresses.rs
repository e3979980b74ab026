//! The addresses of the services: which forms are valid, and which URLs the worker calls.

use reservation_worker::telemetry::export::spans::OtlpProtocol;
use reservation_worker_local::Services;
use rustls::RootCertStore;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;

use super::{problem, read, read_exactly};
use crate::test_app::{TestApp, expired, sqs};

#[test]
fn the_inventory_address_is_host_and_port_or_a_url() {
    let accepted = [
        ("inventory:50051", "http://inventory:50051/"),
        ("inventory.shop.svc.cluster.local:1", "http://inventory.shop.svc.cluster.local:1/"),
        ("10.0.0.7:65535", "http://10.0.0.7:65535/"),
        ("localhost:80", "http://localhost/"),
        ("[::1]:50051", "http://[::1]:50051/"),
        ("http://inventory:50051", "http://inventory:50051/"),
        ("http://inventory:50051/", "http://inventory:50051/"),
        ("http://inventory", "http://inventory/"),
        ("http://[::1]:50051", "http://[::1]:50051/"),
        ("https://inventory:50051", "https://inventory:50051/"),
        ("https://inventory.example", "https://inventory.example/"),
    ];
    for (address, url) in accepted {
        let config = read(&[("INVENTORY_GRPC_ADDR", address)]).unwrap();
        assert_eq!(config.inventory.address.as_str(), url, "{address}");
    }
}

#[test]
fn an_invalid_inventory_address_is_refused() {
    let refused = [
        "inventory",
        "inventory:",
        ":50051",
        "inventory:0",
        "inventory:65536",
        "inventory:-1",
        "inventory:grpc",
        "inventory:50051/path",
        "::1:50051",
        "[::1]",
        "[::1:50051",
        "two words:50051",
        "50051",
        "grpc://inventory:50051",
        "tcp://inventory:50051",
        "dns:///inventory:50051",
        "unix:/run/inventory.sock",
        "http://",
        "http://:50051",
        "http://inventory:0",
        "http://inventory:65536",
        "http://inventory:50051/path",
        "http://inventory:50051?a=b",
        "http://inventory:50051#a",
        "https://inventory:port",
        "inventory:50051,inventory:50052",
    ];
    for address in refused {
        let problem = problem(&[("INVENTORY_GRPC_ADDR", address)]);
        assert!(problem.starts_with(&format!("INVENTORY_GRPC_ADDR={}: ", shown(address))), "{problem}");
    }
}

/// The address as a problem shows it. An address with a query is hidden, because the query may contain a
/// token.
fn shown(address: &str) -> &str {
    if address.contains('?') { "(hidden)" } else { address.trim() }
}

#[test]
fn the_reservation_api_base_is_a_url_with_or_without_a_path() {
    for base in [
        "http://reservation-api",
        "http://reservation-api:8080",
        "http://10.0.0.7:8080",
        "http://[::1]:8080",
        "https://api.example",
        "https://api.example/v1",
        "https://api.example/v1/",
        "https://api.example/a/b%20c",
    ] {
        let config = read(&[("RESERVATION_API_BASE", base)]).unwrap();
        let url = config.reservation_api.base.as_str();
        assert!(url == base || url == format!("{base}/"), "{base} became {url}");
    }
}

#[test]
fn an_invalid_url_is_refused() {
    let refused = [
        "reservation-api",
        "reservation-api:8080",
        "//reservation-api",
        "/internal",
        "http://",
        "http:// ",
        "http://two words",
        "http://reservation-api:99999",
        "http://[::1",
        "ftp://reservation-api",
        "file:///tmp",
        "grpc://reservation-api",
        "http://reservation-api?a=b",
        "http://reservation-api/#a",
    ];
    for variable in ["RESERVATION_API_BASE", "SQS_QUEUE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        for url in refused {
            let problem = problem(&[(variable, url)]);
            assert!(problem.starts_with(&format!("{variable}={}: ", shown(url))), "{problem}");
        }
    }
}

#[test]
fn the_otlp_protocol_is_grpc_for_port_4317_and_http_for_other_ports() {
    for (endpoint, protocol) in [
        ("http://collector:4317", OtlpProtocol::Grpc),
        ("http://collector:4318", OtlpProtocol::HttpProtobuf),
        ("https://collector", OtlpProtocol::HttpProtobuf),
    ] {
        assert_eq!(OtlpProtocol::by_port(&endpoint.parse().unwrap()), protocol, "{endpoint}");
    }
}

#[test]
fn a_host_name_with_other_letters_than_ascii_is_written_in_its_ascii_form() {
    for (base, reason) in [
        ("http://b\u{fc}cher.example", "has a host name that is not in its ASCII form (xn--…)"),
        ("http://<reservation-api>:8080", "has a host name that is not valid"),
    ] {
        let problem = problem(&[("RESERVATION_API_BASE", base)]);
        assert!(problem.ends_with(reason), "{problem}");
    }
    let config = read(&[("RESERVATION_API_BASE", "http://xn--bcher-kva.example")]).unwrap();
    assert_eq!(config.reservation_api.base.as_str(), "http://xn--bcher-kva.example/");
}

#[test]
fn two_invalid_addresses_are_two_problems() {
    let invalid = [("INVENTORY_GRPC_ADDR", "inventory"), ("RESERVATION_API_BASE", "api")];
    assert_eq!(read_exactly(&invalid).unwrap_err().problems.len(), 2);
}

#[tokio::test]
async fn the_inventory_is_called_for_either_form_of_its_address() {
    for scheme in ["", "http://"] {
        let services = Services::start().await.unwrap();
        let address = format!("{scheme}{}", services.inventory_addr());
        let app = TestApp::of(services, &[("INVENTORY_GRPC_ADDR", &address)], RootCertStore::empty());
        app.hold("r1");
        let run = app.run(sqs([("m1", expired("r1"))])).await;
        assert_eq!(run.outcome("m1"), "success", "{address}");
    }
}

#[tokio::test]
async fn the_path_of_the_base_url_precedes_the_path_of_the_reservation() {
    let expected = [
        ("", "/internal/reservations/r.1:a-b_c"),
        ("/", "/internal/reservations/r.1:a-b_c"),
        ("/v1", "/v1/internal/reservations/r.1:a-b_c"),
        ("/v1/", "/v1/internal/reservations/r.1:a-b_c"),
        ("/a/b%20c", "/a/b%20c/internal/reservations/r.1:a-b_c"),
        ("/internal", "/internal/internal/reservations/r.1:a-b_c"),
    ];
    for (prefix, path) in expected {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{prefix}", listener.local_addr().unwrap());
        let services = Services::start().await.unwrap();
        let app = TestApp::of(services, &[("RESERVATION_API_BASE", &base)], RootCertStore::empty());

        let event = sqs([("m1", expired("r.1:a-b_c"))]);
        let (run, request_line) = tokio::join!(app.run(event), reply_404_to_one_request(listener));

        assert_eq!(request_line, format!("PATCH {path} HTTP/1.1"));
        assert_eq!(run.outcome("m1"), "retried");
        assert_eq!(app.services.calls(), []);
    }
}

/// Replies to one request with 404 and returns the request line.
async fn reply_404_to_one_request(listener: TcpListener) -> String {
    let (connection, _) = listener.accept().await.unwrap();
    let mut connection = BufStream::new(connection);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_owned();
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = bytes.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    connection.read_exact(&mut vec![0; length]).await.unwrap();
    let reply = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    connection.write_all(reply).await.unwrap();
    connection.flush().await.unwrap();
    head.swap_remove(0)
}
