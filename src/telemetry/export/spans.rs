//! Sends spans to the X-Ray daemon by UDP, or to an OpenTelemetry collector by OTLP, and decides when.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::RootCertStore;
use sqs_batch::ClockReading;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::xray::Daemon;
use super::{otlp, time_limits};
use crate::telemetry::traces::{Traces, describe};

/// The number of spans per message, which is also the default of OpenTelemetry's own processor. A collector takes
/// messages of up to 4 MiB by gRPC.
const SPANS_PER_MESSAGE: usize = 512;
/// After a failure the collector is not called for this long, because the time of each call is billed. Spans that would
/// be sent in this time are discarded.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanDestination {
    /// To the X-Ray daemon at this address.
    Xray(SocketAddr),
    /// To an OpenTelemetry collector.
    Otlp {
        /// Its address.
        endpoint: Url,
        /// Its protocol.
        protocol: OtlpProtocol,
    },
}

/// The protocol of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
}

/// Sends the spans that have ended.
#[derive(Debug)]
pub struct SpanSender {
    traces: Traces,
    destination: Option<SpanDestination>,
    roots: RootCertStore,
    /// Made for the first spans; `None` if it cannot be made.
    exporter: OnceLock<Option<Exporter>>,
    /// When sending failed the last time. It is locked while spans are sent, so that the flush at the end of the
    /// process waits for a flush that is in progress.
    failed: tokio::sync::Mutex<Option<ClockReading>>,
}

#[derive(Debug)]
enum Exporter {
    Xray(Daemon),
    Otlp(Box<SpanExporter>),
}

impl OtlpProtocol {
    /// The protocol that OpenTelemetry assigned to the port of `endpoint`: gRPC for 4317, HTTP for any other.
    pub fn by_port(endpoint: &Url) -> Self {
        if endpoint.port() == Some(4317) { Self::Grpc } else { Self::HttpProtobuf }
    }
}

impl SpanSender {
    /// Sends the spans of `traces` to `destination`. `https://` collectors are checked against `roots`.
    pub fn new(destination: Option<SpanDestination>, traces: Traces, roots: RootCertStore) -> Self {
        let failed = tokio::sync::Mutex::default();
        Self { traces, destination, roots, exporter: OnceLock::new(), failed }
    }

    /// After the response of an invocation, sends the spans that have ended. It takes at most 500 ms (2 s the first
    /// time), and never more than `time_left` of the invocation's time.
    pub async fn after_response(&self, time_left: Duration, now: ClockReading) {
        let is_first = self.exporter.get().is_none();
        let limit = if is_first { time_limits::LONG } else { time_limits::USUAL };
        self.flush(limit.min(time_left), now).await;
    }

    /// Sends the spans that have ended, and stops after `time`. During the pause after a failure, it discards them.
    pub async fn flush(&self, time: Duration, now: ClockReading) {
        let Some(destination) = &self.destination else { return };
        // Without time nothing can be sent, and that is no failure of the collector.
        if time.is_zero() {
            return;
        }
        let deadline = Instant::now() + time;
        let Ok(mut failed) = timeout_at(deadline, self.failed.lock()).await else { return };
        let spans = self.traces.take_ended();
        if spans.is_empty() || failed.is_some_and(|failed| now.since(failed) < PAUSE_AFTER_FAILURE) {
            return;
        }
        let number = spans.len();
        let sent = timeout_at(deadline, self.send(destination, spans)).await;
        if let Err(reason) = sent.unwrap_or_else(|_| Err("no reply in time".to_owned())) {
            *failed = Some(now);
            tracing::debug!(number, reason, "spans not sent, or only in part");
        }
    }

    async fn send(&self, destination: &SpanDestination, spans: Vec<SpanData>) -> Result<(), String> {
        let exporter = self.exporter.get_or_init(|| Exporter::new(destination, &self.roots).ok());
        exporter.as_ref().ok_or("the exporter cannot be made")?.send(spans).await
    }
}

impl Exporter {
    fn new(
        destination: &SpanDestination,
        roots: &RootCertStore,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(match destination {
            SpanDestination::Xray(daemon) => Self::Xray(Daemon::new(*daemon)?),
            SpanDestination::Otlp { endpoint, protocol } => {
                let mut exporter = match protocol {
                    OtlpProtocol::Grpc => otlp::grpc(endpoint, roots.clone())?,
                    OtlpProtocol::HttpProtobuf => otlp::http(endpoint, roots.clone())?,
                };
                exporter.set_resource(&describe::resource());
                Self::Otlp(Box::new(exporter))
            }
        })
    }

    /// Sends spans. Returns the reason if some of them are lost. The loss of a datagram is not noticed.
    async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        match self {
            Self::Xray(daemon) => {
                daemon.send(&spans);
                Ok(())
            }
            Self::Otlp(exporter) => {
                let send = async |message: &[SpanData]| {
                    // A connection that died while the environment was frozen fails when it is next used. The message
                    // is sent again here, because the exporter's own retries are turned off.
                    match exporter.export(message.to_vec()).await {
                        Ok(()) => Ok(()),
                        Err(_) => exporter.export(message.to_vec()).await.map_err(|error| error.to_string()),
                    }
                };
                // The messages are sent concurrently, because all of them share the caller's time limit.
                join_all(spans.chunks(SPANS_PER_MESSAGE).map(send)).await.into_iter().collect()
            }
        }
    }
}
