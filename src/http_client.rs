//! What every HTTP client has in common: one TLS provider, ring, and one try a request.

use reqwest::{Client, ClientBuilder, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, Error, RootCertStore};

/// A client that checks servers against `roots` and shows them no certificate.
///
/// # Errors
///
/// When the provider does not know the protocol versions.
pub fn builder(roots: RootCertStore) -> Result<ClientBuilder, Error> {
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(retry::never()) // whoever asks counts the tries
        .no_proxy() // the environment holds what the contract lists, and nothing else counts
        .tcp_nodelay(true))
}

/// The authorities that the web trusts, compiled in.
pub fn web_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}
