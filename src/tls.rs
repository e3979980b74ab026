//! TLS for every client that takes rustls as it is: one provider, ring.

use rustls::crypto::ring;
use rustls::{ClientConfig, Error, RootCertStore};

/// Checks servers against `roots` and shows them no certificate.
///
/// # Errors
///
/// When the provider does not know the protocol versions.
pub fn client(roots: RootCertStore) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
