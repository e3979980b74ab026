//! Exporters that send spans to an OpenTelemetry collector (OTLP) by gRPC or HTTP.

use std::error::Error;
use std::time::Duration;

use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use rustls::RootCertStore;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use url::Url;

use crate::http_client;

/// The caller's time limit is shorter, so this one is not reached.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was silent for this long may have died while the function was frozen. It is checked when it is
/// used.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the peer may leave a check or sent data unanswered before the connection is closed.
const MAX_UNANSWERED_TIME: Duration = Duration::from_millis(500);

pub(super) fn grpc(
    endpoint: &Url,
    roots: RootCertStore,
) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let mut channel: Endpoint = Channel::from_shared(endpoint.to_string())?
        .connect_timeout(TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(MAX_UNANSWERED_TIME);
    if endpoint.scheme() == "https" {
        channel = channel.tls_config(ClientTlsConfig::new().trust_anchors(roots.roots))?;
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel.connect_lazy())
        .with_retry_policy(RetryPolicy::disabled())
        .with_timeout(TIMEOUT);
    Ok(exporter.build()?)
}

pub(super) fn http(
    endpoint: &Url,
    roots: RootCertStore,
) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let tls = http_client::tls(roots)?;
    let client = http_client::builder(tls).tcp_user_timeout(MAX_UNANSWERED_TIME).timeout(TIMEOUT).build()?;
    let base = endpoint.as_str().trim_end_matches('/');
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_retry_policy(RetryPolicy::disabled())
        .with_timeout(TIMEOUT);
    Ok(exporter.build()?)
}
