//! What all HTTP clients of the process have in common: one TLS provider (ring), no redirects, no retries of their
//! own.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// How the worker names itself to the services.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// Connections without traffic for this time may be dead, so they are replaced or checked before use.
pub const SILENCE: Duration = Duration::from_secs(10);

/// TLS that checks servers against `roots` and presents no certificate of its own. Clones share the sessions that can
/// be resumed.
///
/// # Errors
///
/// When the TLS provider does not support the protocol versions.
pub fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A client that uses `tls` for `https://`.
pub fn builder(tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(retry::never()) // the callers count their attempts
        .no_proxy() // docs/configuration.md: the variables of proxies are ignored
        .tcp_nodelay(true)
}

/// The certificate authorities of the web, which are compiled in.
pub fn web_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// Why a connection could not be made or was lost; `None` if `error` does not say. The text comes from this process
/// or its operating system, never from the peer.
pub fn connection_failure(error: &(dyn Error + 'static)) -> Option<String> {
    let Some(io) = error.downcast_ref::<io::Error>() else { return connection_failure(error.source()?) };
    Some(match io.get_ref() {
        None => io.to_string(),
        Some(inner) if inner.is::<rustls::Error>() => inner.to_string(),
        Some(inner) => connection_failure(inner).unwrap_or_else(|| io.kind().to_string()),
    })
}
