use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use reservation_worker_local::proto::reservation::v1::{ReleaseHoldResponse, ReleaseStatus};
use reservation_worker_local::{Effect, Fault, Operation, Service, Services, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::client::{TestServices, expired, hold, release, unary, until};

const SEATS: [&str; 2] = ["A-1", "A-2"];

fn io_error(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

#[tokio::test]
async fn a_reset_effect_resets_the_tcp_connection_of_rest_and_grpc() {
    let test = TestServices::with_hold().await;
    let reset = Fault::of_both_services(Effect::Reset).times(2);
    test.services.fault(reset);
    let error = test.patch("r1", "k", expired()).send().await.unwrap_err();
    assert_eq!(io_error(&error), Some(ErrorKind::ConnectionReset));
    let status = test.release(release("r1", &SEATS)).await.unwrap_err();
    assert_eq!(io_error(&status), Some(ErrorKind::ConnectionReset), "{status:?}");

    assert_eq!(test.update("r1", "k", expired()).await.0, 200, "the service still runs");
    test.release(release("r1", &SEATS)).await.unwrap();
    let replies: Vec<_> = test.services.calls().into_iter().map(|call| call.reply).collect();
    assert_eq!(replies, ["reset", "reset", "200", "SUCCESS"]);
}

#[tokio::test]
async fn a_stopped_service_closes_its_connections_and_refuses_new_ones() {
    let test = TestServices::with_hold().await;
    test.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang).times(1));
    let (base, addr) = (test.services.reservation_api_base(), test.services.inventory_addr());
    let hanging = tokio::spawn(test.patch("r1", "k", expired()).send());
    until(|| test.services.calls().iter().any(|call| call.reply == "hang")).await;

    test.services.stop(Service::ReservationApi).await;
    test.services.stop(Service::ReservationApi).await;
    assert!(hanging.await.unwrap().is_err());
    let refused = test.patch("r1", "k", expired()).send().await.unwrap_err();
    assert!(refused.is_connect());
    assert_eq!(io_error(&refused), Some(ErrorKind::ConnectionRefused));
    test.release(release("r1", &SEATS)).await.expect("the other service still runs");

    test.services.stop(Service::Inventory).await;
    test.release(release("r1", &SEATS)).await.expect_err("its connection is closed");
    let unavailable = test.release(release("r1", &SEATS)).await.unwrap_err();
    assert_eq!(unavailable.code(), Code::Unavailable);
    for service in [Service::ReservationApi, Service::Inventory, Service::Inventory] {
        test.services.restart(service).await.unwrap();
    }
    assert_eq!((test.services.reservation_api_base(), test.services.inventory_addr()), (base, addr));
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    let reply = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!(reply.status(), ReleaseStatus::Success, "the service keeps its state");
}

#[tokio::test]
async fn dropping_the_services_stops_them() {
    let services = Services::start().await.unwrap();
    let addr = services.inventory_addr();
    drop(services);
    let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    until(|| std::net::TcpStream::connect(&addr).is_err_and(refused)).await;
}

#[tokio::test]
async fn both_services_support_tls() {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = issued.signing_key.serialize_der().try_into().unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let services = Services::start_tls(Arc::new(server)).await.unwrap();
    services.create_hold(hold("r1", &SEATS)).unwrap();

    let addr = services.inventory_addr();
    assert!(addr.starts_with("https://localhost:"));
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(issued.cert.pem()));
    let channel = Endpoint::from_shared(addr).unwrap().tls_config(tls).unwrap().connect_lazy();
    let reply: ReleaseHoldResponse = unary(&channel, "ReleaseHold", release("r1", &SEATS)).await.unwrap();
    assert_eq!(reply.status(), ReleaseStatus::Success);

    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    let base = services.reservation_api_base();
    let port = base.strip_prefix("https://localhost:").unwrap().parse().unwrap();
    let connect = || async {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client.clone())).connect(name, tcp).await.unwrap()
    };
    let request = "GET /internal/reservations/r1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    let mut stream = connect().await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");

    services.fault(Fault::any(Operation::ReadReservation, Effect::Reset));
    let mut stream = connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let reset = stream.read_to_string(&mut reply).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(services.reservation("r1").unwrap().status, Status::Hold);
}
