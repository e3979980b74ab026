//! Where spans go: the X-Ray daemon by UDP, or a collector by OTLP.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::RootCertStore;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use url::Url;

use crate::config::{Config, OtlpProtocol};
use crate::http_client;
use crate::telemetry::traces::describe;
use crate::telemetry::traces::xray::Daemon;

/// As many as OpenTelemetry's own processor puts into one; a collector takes 4 MiB by gRPC.
const SPANS_A_MESSAGE: usize = 512;
/// What is sent is given up after the caller's time, which is shorter.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a frozen function comes back to may be no connection any more.
const SILENCE: Duration = Duration::from_secs(10);
const UNANSWERED: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum Destination {
    Xray(SocketAddr),
    Otlp { endpoint: Url, protocol: OtlpProtocol, roots: RootCertStore },
}

impl Destination {
    pub(super) fn of(config: &Config, roots: &RootCertStore) -> Option<Self> {
        match &config.otlp_endpoint {
            Some(endpoint) => Some(Self::Otlp {
                endpoint: endpoint.clone(),
                protocol: config.otlp_protocol.unwrap_or_else(|| OtlpProtocol::by_port(endpoint)),
                roots: roots.clone(),
            }),
            None => config.xray_daemon.map(Self::Xray),
        }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    Xray(Daemon),
    Otlp(Box<SpanExporter>),
}

impl Sink {
    pub(super) fn new(destination: &Destination) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(match destination {
            Destination::Xray(daemon) => Self::Xray(Daemon::new(*daemon)?),
            Destination::Otlp { endpoint, protocol, roots } => {
                let mut exporter = match protocol {
                    OtlpProtocol::Grpc => grpc(endpoint, roots.clone())?,
                    OtlpProtocol::HttpProtobuf => http(endpoint, roots.clone())?,
                };
                exporter.set_resource(&describe::resource());
                Self::Otlp(Box::new(exporter))
            }
        })
    }

    /// Says why the spans are lost; of datagrams nobody knows.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        match self {
            Self::Xray(daemon) => {
                daemon.send(&spans);
                Ok(())
            }
            Self::Otlp(exporter) => {
                let send = async |message: &[SpanData]| {
                    // A connection that died while the environment was frozen shows it only when it is used,
                    // and by gRPC with a status that the exporter does not try again.
                    match exporter.export(message.to_vec()).await {
                        Ok(()) => Ok(()),
                        Err(_) => exporter.export(message.to_vec()).await.map_err(|error| error.to_string()),
                    }
                };
                // Side by side, for they share the caller's time.
                join_all(spans.chunks(SPANS_A_MESSAGE).map(send)).await.into_iter().collect()
            }
        }
    }
}

fn grpc(endpoint: &Url, roots: RootCertStore) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let mut channel: Endpoint = Channel::from_shared(endpoint.to_string())?
        .connect_timeout(TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(UNANSWERED);
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

fn http(endpoint: &Url, roots: RootCertStore) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let client = http_client::builder(roots)?.tcp_user_timeout(UNANSWERED).timeout(TIMEOUT).build()?;
    let base = endpoint.as_str().trim_end_matches('/');
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_retry_policy(RetryPolicy::disabled())
        .with_timeout(TIMEOUT);
    Ok(exporter.build()?)
}
