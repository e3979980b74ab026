//! `https://` for both services. The worker verifies certificates against the given root certificates.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reservation_worker_local::{SeatState, Services, Status};
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use rustls::{RootCertStore, ServerConfig};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::shifted_clock::{self, Shift};
use crate::table::{GENEROUS_LIMITS, Kind, PATCH, operations};
use crate::test_app::{BatchRun, TestApp, sqs};
use crate::wire::Server;

/// A certificate authority that a test creates.
struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (certificate, pem) = (certificate.der().clone(), certificate.pem());
        Self { certificate, pem, issuer: Issuer::new(params, key) }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// Services with a certificate of this authority for `name`. `change` is applied to the certificate
    /// before it is signed.
    async fn services(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> Services {
        Services::start_tls(Arc::new(self.server(name, change))).await.unwrap()
    }

    fn server(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap()
    }
}

/// The sessions of a server. It counts those that were resumed.
#[derive(Debug)]
struct Sessions {
    stored: Arc<ServerSessionMemoryCache>,
    resumed: AtomicUsize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { stored: ServerSessionMemoryCache::new(64), resumed: AtomicUsize::new(0) }
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.stored.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.stored.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.stored.take(key);
        self.resumed.fetch_add(session.iter().len(), Ordering::Relaxed);
        session
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Runs a batch with an approved payment for the hold `r1`.
async fn pay(app: &TestApp) -> BatchRun {
    app.run(sqs([("m-1", Kind::Approved.event("r1"))])).await
}

/// Runs a payment with only the reservation API from `tls_services`, and one with only the inventory from
/// `tls_services`. Both records must be retried. Returns their reasons.
async fn retry_reasons(tls_services: Services, roots: &RootCertStore) -> [String; 2] {
    let (base, addr) = (tls_services.reservation_api_base(), tls_services.inventory_addr());
    let mut reasons = Vec::new();
    for (variable, address) in [("RESERVATION_API_BASE", base), ("INVENTORY_GRPC_ADDR", addr)] {
        assert!(address.starts_with("https://localhost:"), "{address}");
        let services = Services::start().await.unwrap();
        let variables = [&GENEROUS_LIMITS[..], &[(variable, address.as_str())]].concat();
        let app = TestApp::of(services, &variables, roots.clone());
        app.hold("r1");
        let run = pay(&app).await;
        assert_eq!(run.outcome("m-1"), "retried", "{variable}");
        assert_eq!(run.returned(), ["m-1"]);
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
        reasons.push(run.reason("m-1").to_owned());
    }
    assert_eq!(tls_services.calls(), [], "an untrusted service gets no request");
    reasons.try_into().unwrap()
}

fn assert_certificate_errors(reasons: [String; 2], words: &str) {
    for reason in reasons {
        assert!(reason.contains("certificate") && reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn both_services_are_called_over_tls() {
    let authority = Authority::new();
    let services = authority.services("localhost", |_| {}).await;
    let app = TestApp::of(services, &GENEROUS_LIMITS, authority.roots());
    app.hold("r1");
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.inventory_call()]);
    assert_eq!(app.services.reservation("r1").unwrap().status, Status::Confirmed);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
}

#[tokio::test]
async fn both_services_may_have_a_certificate_of_an_authority_in_tls_ca_file() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut file = NamedTempFile::new().unwrap();
    file.write_all((other.pem.clone() + &authority.pem).as_bytes()).unwrap();
    let variables = [&GENEROUS_LIMITS[..], &[("TLS_CA_FILE", file.path().to_str().unwrap())]].concat();
    // The other roots, such as the web roots, stay trusted.
    for (trusted, roots) in [(&authority, other.roots()), (&other, authority.roots())] {
        let services = trusted.services("localhost", |_| {}).await;
        let app = TestApp::of(services, &variables, roots);
        app.hold("r1");
        assert_eq!(pay(&app).await.outcome("m-1"), "success");
    }
    let only_root = Authority::new();
    let app = TestApp::of(only_root.services("localhost", |_| {}).await, &variables, only_root.roots());
    app.hold("r1");
    assert_eq!(pay(&app).await.outcome("m-1"), "success");
}

#[tokio::test]
async fn new_connections_after_a_silence_resume_their_tls_sessions() {
    let authority = Authority::new();
    let sessions = Arc::new(Sessions::default());
    let mut server = authority.server("localhost", |_| {});
    server.session_storage = sessions.clone();
    let services = Services::start_tls(Arc::new(server)).await.unwrap();
    let app = TestApp::of(services, &GENEROUS_LIMITS, authority.roots());
    for (id, resumed) in [("r1", 0), ("r2", 2), ("r3", 4)] {
        app.hold(id);
        let run = app.run(sqs([(id, Kind::Approved.event(id))])).await;
        assert_eq!(run.outcome(id), "success");
        assert_eq!(sessions.resumed.load(Ordering::Relaxed), resumed, "{id}");
        shifted_clock::advance(Shift::all(Duration::from_secs(10))[0]);
    }
}

#[tokio::test]
async fn a_certificate_is_refused_when_no_root_is_trusted() {
    let services = Authority::new().services("localhost", |_| {}).await;
    assert_certificate_errors(retry_reasons(services, &RootCertStore::empty()).await, "UnknownIssuer");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let services = Authority::new().services("localhost", |_| {}).await;
    // Both authorities have the same name, so the error is about the signature.
    assert_certificate_errors(retry_reasons(services, &Authority::new().roots()).await, "BadSignature");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let services = authority.services("inventory.example", |_| {}).await;
    assert_certificate_errors(retry_reasons(services, &authority.roots()).await, "name");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let services =
        authority.services("localhost", |params| params.not_after = date_time_ymd(2020, 1, 1)).await;
    assert_certificate_errors(retry_reasons(services, &authority.roots()).await, "expired");
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_is_refused() {
    let authority = Authority::new();
    let services =
        authority.services("localhost", |params| params.not_before = date_time_ymd(4000, 1, 1)).await;
    assert_certificate_errors(retry_reasons(services, &authority.roots()).await, "not valid yet");
}

#[tokio::test]
async fn plain_text_to_a_tls_port_and_tls_to_a_plain_text_port_are_retried() {
    let authority = Authority::new();
    for uses_tls in [true, false] {
        let target = match uses_tls {
            true => authority.services("localhost", |_| {}).await,
            false => Services::start().await.unwrap(),
        };
        let with_other_scheme = |address: String| match uses_tls {
            true => address.replace("https://", "http://"),
            false => format!("https://{}", address.replace("http://", "")),
        };
        let (base, addr) =
            (with_other_scheme(target.reservation_api_base()), with_other_scheme(target.inventory_addr()));
        for (variable, address) in [("RESERVATION_API_BASE", &base), ("INVENTORY_GRPC_ADDR", &addr)] {
            let services = Services::start().await.unwrap();
            let variables =
                [&GENEROUS_LIMITS[..], &[(variable, address), ("INVENTORY_TIMEOUT_MS", "1000")]].concat();
            let app = TestApp::of(services, &variables, authority.roots());
            app.hold("r1");
            let run = pay(&app).await;
            assert_eq!(run.outcome("m-1"), "retried", "{address}: {}", run.reason("m-1"));
        }
        assert_eq!(target.calls(), []);
    }
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_times_out_and_the_next_connection_is_used() {
    let authority = Authority::new();
    let services = authority.services("localhost", |_| {}).await;
    let inventory = services.inventory_addr().replace("https://localhost", "127.0.0.1");
    let accepted = AtomicUsize::new(0);
    let proxy = Server::start(move |mut stream| {
        let hangs = accepted.fetch_add(1, Ordering::Relaxed) == 0;
        let inventory = inventory.clone();
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            let mut outbound = TcpStream::connect(inventory).await.unwrap();
            _ = copy_bidirectional(&mut stream, &mut outbound).await;
        }
    });
    let proxy = proxy.await;
    let address = proxy.base().replace("http://127.0.0.1", "https://localhost");
    let app = TestApp::of(services, &[("INVENTORY_GRPC_ADDR", &address)], authority.roots());
    app.hold("r1");

    let give_up_at = Instant::now() + Duration::from_secs(60);
    while pay(&app).await.outcome("m-1") != "success" {
        assert!(Instant::now() < give_up_at, "{} connections", proxy.accepted());
    }

    assert_eq!(proxy.accepted(), 2);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
}
