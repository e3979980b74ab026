//! What the operator sets: environment variables, read once at the start (contract section 7).
//!
//! Every problem is reported at once, with variable, value and reason, so that a deployment is mended
//! in one go. An unset or empty variable takes its default.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tracing::Level;
use url::Url;

mod read;
mod secret;

use read::Reader;
pub use secret::SecretError;

/// The function's configuration. Each field names the variable it is read from.
#[derive(Debug, Clone)]
pub struct Config {
    /// `INVENTORY_GRPC_ADDR`, required: `host:port` (plain text), `http://…` or `https://…` (TLS).
    pub inventory: Url,
    /// `RESERVATION_API_BASE`, required: `http://…` or `https://…`, with or without a path prefix.
    pub reservation_api: Url,
    /// `RESERVATION_API_TOKEN`: sent as a bearer token, never logged.
    pub reservation_api_token: Option<Secret>,
    /// `WORKER_CONCURRENCY`, 1 to 1000, default 20: records worked on at once.
    pub worker_concurrency: usize,
    /// `MAX_RETRIES`, 1 to 1000, default 5: receives before the dead-letter queue.
    pub max_retries: u32,
    /// `BACKOFF_BASE_MS`, default 1 s: visibility time-out after the first receive.
    pub backoff_base: Duration,
    /// `BACKOFF_MAX_MS`, default 900 s: the longest visibility time-out.
    pub backoff_max: Duration,
    /// `INVENTORY_TIMEOUT_MS`, default 250 ms, for each try of a call.
    pub inventory_timeout: Duration,
    /// `RESERVATION_API_TIMEOUT_MS`, default 3 s, for each try of a call.
    pub reservation_api_timeout: Duration,
    /// `BREAKER_FAILURES`, default 20: failures in a row that open a breaker; 0 is no breaker.
    pub breaker_failures: u32,
    /// `BREAKER_OPEN_MS`, default 5 s: how long a breaker stays open; 0 is no breaker.
    pub breaker_open: Duration,
    /// `DEADLINE_RESERVE_MS`, default 1 s: kept back of the invocation's time for the answer; 100 ms are in any case.
    pub deadline_reserve: Duration,
    /// `SQS_QUEUE_URL`: else made from the records' queue ARN.
    pub sqs_queue_url: Option<Url>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go by OTLP.
    pub otlp_endpoint: Option<Url>,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`, default by the endpoint's port: how they go there.
    pub otlp_protocol: Option<OtlpProtocol>,
    /// `AWS_XRAY_DAEMON_ADDRESS`, set by Lambda: where traces go by UDP if there is no OTLP endpoint.
    pub xray_daemon: Option<SocketAddr>,
    /// `METRICS_SINK`, default `cloudwatch`.
    pub metrics_sink: MetricsSink,
    /// `METRICS_NAMESPACE`, default `TrafficTacos/ReservationWorker`.
    pub metrics_namespace: String,
    /// `LOG_LEVEL`, else `AWS_LAMBDA_LOG_LEVEL`, default info.
    pub log_level: Level,
    /// `AWS_LAMBDA_LOG_LEVEL`, INFO at least: that of a line which Lambda's own log filter must let through,
    /// whatever `LOG_LEVEL` says.
    pub unfiltered_level: &'static str,
}

/// Where metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsSink {
    /// `PutMetricData`.
    CloudWatch,
    /// Embedded metric format: log lines.
    Emf,
    /// Nowhere.
    None,
}

/// How traces go to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
}

impl OtlpProtocol {
    /// That which OpenTelemetry has given the port to; HTTP, its default, has all others.
    pub fn by_port(endpoint: &Url) -> Self {
        if endpoint.port() == Some(4317) { Self::Grpc } else { Self::HttpProtobuf }
    }
}

/// A value that is used and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The configuration cannot be used; says everything that is wrong with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid configuration: {}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    /// In the order in which the variables are read.
    pub problems: Vec<Problem>,
}

/// There is no configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoadError {
    /// It cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The secret that is part of it cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What is wrong with one variable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable}={value}: {reason}")]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// Its value; `(unset)` or `(hidden)` where there is none to show.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// `AWS_LAMBDA_RUNTIME_API`, set by Lambda: `host:port` of the Runtime API.
pub fn runtime_api() -> Option<String> {
    std::env::var("AWS_LAMBDA_RUNTIME_API").ok()
}

impl Config {
    /// Reads the configuration from the environment of the process, and from Secrets Manager if
    /// `USE_SECRET_MANAGER` says so.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with all that is wrong.
    pub async fn load() -> Result<Self, LoadError> {
        let lossy = |value: OsString| value.to_string_lossy().into_owned();
        Self::from_sources(|variable| std::env::var_os(variable).map(lossy), secret::fetch).await
    }

    /// Reads the configuration through `lookup`, and the secret that it may name through `fetch`, which
    /// returns its text or the reason why there is none. The secret goes before the variables.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with all that is wrong.
    pub async fn from_sources(
        lookup: impl Fn(&str) -> Option<String>,
        fetch: impl AsyncFnOnce(String) -> Result<String, String>,
    ) -> Result<Self, LoadError> {
        let mut reader = Reader::new(&lookup);
        if let Some(name) = reader.secret_name() {
            let read = fetch(name.clone()).await.and_then(|text| secret::variables(&text));
            reader.use_secret(read.map_err(|reason| SecretError { name, reason })?);
        }
        let config = Self::read(&mut reader);
        Ok(reader.finish(config)?)
    }

    /// Reads the configuration through `lookup` alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every variable that is missing or cannot be used.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let config = Self::read(&mut reader);
        reader.finish(config)
    }

    /// Reads every variable before it gives up for want of a required one.
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let inventory = read.required("INVENTORY_GRPC_ADDR", read::inventory_address);
        let reservation_api = read.required("RESERVATION_API_BASE", read::http_url);
        Some(Self {
            reservation_api_token: read.secret("RESERVATION_API_TOKEN", read::bearer_token).map(Secret),
            worker_concurrency: read.or("WORKER_CONCURRENCY", 20, read::number(1..=1000)),
            max_retries: read.or("MAX_RETRIES", 5, read::number(1..=1000)),
            backoff_base: read.or("BACKOFF_BASE_MS", Duration::from_secs(1), read::millis(VISIBILITY_MS)),
            backoff_max: read.or("BACKOFF_MAX_MS", Duration::from_secs(900), read::millis(VISIBILITY_MS)),
            inventory_timeout: read.or(
                "INVENTORY_TIMEOUT_MS",
                Duration::from_millis(250),
                read::millis(CALL_MS),
            ),
            reservation_api_timeout: read.or(
                "RESERVATION_API_TIMEOUT_MS",
                Duration::from_secs(3),
                read::millis(CALL_MS),
            ),
            breaker_failures: read.or("BREAKER_FAILURES", 20, read::number(0..=1_000_000)),
            breaker_open: read.or("BREAKER_OPEN_MS", Duration::from_secs(5), read::millis(0..=900_000)),
            deadline_reserve: read.or(
                "DEADLINE_RESERVE_MS",
                Duration::from_secs(1),
                read::millis(0..=900_000),
            ),
            sqs_queue_url: read.optional("SQS_QUEUE_URL", read::http_url),
            otlp_endpoint: read.optional("OTEL_EXPORTER_OTLP_ENDPOINT", read::http_url),
            otlp_protocol: read.optional("OTEL_EXPORTER_OTLP_PROTOCOL", read::otlp_protocol),
            xray_daemon: read.optional("AWS_XRAY_DAEMON_ADDRESS", read::xray_daemon),
            metrics_sink: read.or("METRICS_SINK", MetricsSink::CloudWatch, read::metrics_sink),
            metrics_namespace: read.or(
                "METRICS_NAMESPACE",
                "TrafficTacos/ReservationWorker".to_owned(),
                read::metrics_namespace,
            ),
            log_level: read.log_level(),
            unfiltered_level: read.unfiltered_level(),
            inventory: inventory?,
            reservation_api: reservation_api?,
        })
    }
}

/// SQS keeps a message invisible for 12 hours at most.
const VISIBILITY_MS: RangeInclusive<u64> = 1..=12 * 3_600_000;
/// Lambda ends an invocation after 15 minutes at the latest.
const CALL_MS: RangeInclusive<u64> = 1..=900_000;
