//! What the operator configures: environment variables, read once at the start (contract section 7).
//!
//! All problems are reported together, with variable, value and reason, so that one deployment can fix them all. An
//! unset or empty variable takes its default. Each component defines the type of its settings; this module composes
//! them.

use std::ffi::OsString;

use rustls::RootCertStore;
use sqs_batch::Backoff;
use tracing::Level;
use url::{Host, Url};

use crate::services::breaker::BreakerSettings;
use crate::services::inventory::InventorySettings;
use crate::services::reservation_api::{BearerToken, ReservationApiSettings, TokenSource};
use crate::services::retry::Retry;
use crate::telemetry::export::metrics::MetricsSettings;
use crate::telemetry::export::spans::{OtlpProtocol, SpanDestination};

mod parse;
mod problem;
mod reader;
mod secret;
pub mod variables;

pub use problem::{ConfigError, LoadError, Problem};
use reader::Reader;
use secret::Secret;
pub use secret::SecretError;

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The limits of a batch.
    pub batch: sqs_batch::Settings,
    /// The visibility time-outs of returned records.
    pub backoff: Backoff,
    /// The URL of the queue; `None` if it is derived from the ARN of the records.
    pub sqs_queue_url: Option<Url>,
    /// How the reservation API is called.
    pub reservation_api: ReservationApiSettings,
    /// How the inventory is called.
    pub inventory: InventorySettings,
    /// The certificate authorities that are trusted for both services, besides the web roots.
    pub authorities: RootCertStore,
    /// Where metrics go.
    pub metrics: MetricsSettings,
    /// Where spans go; `None` if they are not sent.
    pub spans: Option<SpanDestination>,
    /// The least severe level that is logged.
    pub log_level: Level,
    /// Warnings for the operator about a configuration that can be used: complete sentences without secret values.
    pub warnings: Vec<String>,
}

/// `AWS_LAMBDA_RUNTIME_API`: `host:port` of the Runtime API; `None` if the process was not started by Lambda.
pub fn runtime_api() -> Option<String> {
    std::env::var("AWS_LAMBDA_RUNTIME_API").ok()
}

impl Config {
    /// Reads the configuration from the environment of the process, and from Secrets Manager if `USE_SECRET_MANAGER`
    /// is `true`.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with all problems.
    pub async fn load() -> Result<Self, LoadError> {
        let lossy = |value: OsString| value.to_string_lossy().into_owned();
        Self::from_sources(|variable| std::env::var_os(variable).map(lossy), secret::fetch).await
    }

    /// Reads the configuration. `lookup` returns the value of a variable. If `USE_SECRET_MANAGER` is `true`, `fetch`
    /// is called with `SECRET_NAME`; it returns the text of the secret, or the reason why the secret cannot be read.
    /// The secret takes precedence over variables. A token in it is read again through `fetch` when the reservation
    /// API refuses it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with all problems.
    pub async fn from_sources<F>(
        lookup: impl Fn(&str) -> Option<String>,
        fetch: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Result<Self, LoadError>
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        let mut reader = Reader::new(&lookup);
        let uses_secret_manager = reader.value(&variables::USE_SECRET_MANAGER, parse::flag);
        let name = reader.value(&variables::SECRET_NAME, parse::text);
        let Some(name) = name.filter(|_| uses_secret_manager == Some(true)) else {
            let config = Self::read(&mut reader);
            return Ok(reader.finish(config)?);
        };
        let secret = fetch(name.clone()).await.and_then(|text| Secret::parse(&text));
        let secret = secret.map_err(|reason| SecretError { name: name.clone(), reason })?;
        let (has_token, unknown_keys) = (secret.token().is_ok(), secret.unknown_keys);
        reader.use_secret(secret.variables);
        let config = Self::read(&mut reader);
        let mut config = reader.finish(config)?;
        if !unknown_keys.is_empty() {
            let keys = unknown_keys.join(", ");
            config.warnings.push(format!("The secret {name} has unknown keys, which are ignored: {keys}."));
        }
        config.reservation_api.token_source = has_token.then(|| {
            TokenSource::new(move || {
                let text = fetch(name.clone());
                async { Secret::parse(&text.await?)?.token() }
            })
        });
        Ok(config)
    }

    /// The certificate authorities that are trusted for both services: `web_roots` and those of `TLS_CA_FILE`.
    pub fn service_roots(&self, mut web_roots: RootCertStore) -> RootCertStore {
        web_roots.extend(self.authorities.roots.iter().cloned());
        web_roots
    }

    /// Reads the configuration through `lookup` alone, without a secret.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every variable that is missing or cannot be used.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let config = Self::read(&mut reader);
        reader.finish(config)
    }

    /// Returns `None` if a variable has no usable value, but only after every variable was read, so that all problems
    /// are reported.
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let inventory = read.value(&variables::INVENTORY_GRPC_ADDR, parse::inventory_address);
        let reservation_api = read.value(&variables::RESERVATION_API_BASE, parse::http_url);
        let token = read.optional_hidden(&variables::RESERVATION_API_TOKEN, parse::bearer_token);
        let authorities = read.optional(&variables::TLS_CA_FILE, parse::certificate_authorities);
        let concurrency = read.value(&variables::WORKER_CONCURRENCY, parse::number(1..=1000));
        let max_receives = read.value(&variables::MAX_RETRIES, parse::number(1..=1000));
        let backoff_base = read.value(&variables::BACKOFF_BASE_MS, parse::visibility_timeout);
        let backoff_max = read.value(&variables::BACKOFF_MAX_MS, parse::visibility_timeout);
        if backoff_base.zip(backoff_max).is_some_and(|(base, max)| base > max) {
            read.refuse(&variables::BACKOFF_BASE_MS, "is greater than BACKOFF_MAX_MS");
        }
        let outage_backoff = read.value(&variables::OUTAGE_BACKOFF_MS, parse::outage_backoff);
        let inventory_timeout = read.value(&variables::INVENTORY_TIMEOUT_MS, parse::attempt_timeout);
        let reservation_api_timeout =
            read.value(&variables::RESERVATION_API_TIMEOUT_MS, parse::attempt_timeout);
        let breaker_failures = read.value(&variables::BREAKER_FAILURES, parse::number(0..=1_000_000));
        let breaker_open = read.value(&variables::BREAKER_OPEN_MS, parse::millis(0..=900_000));
        let deadline_reserve = read.value(&variables::DEADLINE_RESERVE_MS, parse::millis(0..=900_000));
        let sqs_queue_url = read.optional(&variables::SQS_QUEUE_URL, parse::http_url);
        let otlp_endpoint = read.optional(&variables::OTEL_EXPORTER_OTLP_ENDPOINT, parse::http_url);
        let otlp_protocol = read.optional(&variables::OTEL_EXPORTER_OTLP_PROTOCOL, parse::otlp_protocol);
        let xray_daemon = read.optional(&variables::AWS_XRAY_DAEMON_ADDRESS, parse::xray_daemon);
        let sink = read.value(&variables::METRICS_SINK, parse::metrics_sink);
        let namespace = read.value(&variables::METRICS_NAMESPACE, parse::metrics_namespace);
        let log_level = read.optional(&variables::LOG_LEVEL, parse::log_level);
        let lambda_filter = read.optional(&variables::AWS_LAMBDA_LOG_LEVEL, parse::lambda_log_filter);
        let breaker = BreakerSettings { failures: breaker_failures?, open_for: breaker_open? };
        let retry = Retry::default();
        let (backoff_base, backoff_max) = (backoff_base?, backoff_max?);
        let (inventory_timeout, reservation_api_timeout) = (inventory_timeout?, reservation_api_timeout?);
        let (concurrency, reservation_api) = (concurrency?, reservation_api?);
        let exposed_token = token.is_some() && is_exposed(&reservation_api);
        Some(Self {
            batch: sqs_batch::Settings {
                concurrency,
                max_receives: max_receives?,
                deadline_reserve: deadline_reserve?,
                // One attempt of each of the two calls.
                time_per_record: reservation_api_timeout + inventory_timeout,
            },
            backoff: Backoff { base: backoff_base, max: backoff_max, outage: outage_backoff? },
            sqs_queue_url,
            reservation_api: ReservationApiSettings {
                base: reservation_api,
                token: token.map(BearerToken::new),
                token_source: None,
                timeout: reservation_api_timeout,
                max_idle_connections: concurrency,
                longest_retry_after: backoff_max,
                breaker,
                retry: retry.clone(),
            },
            inventory: InventorySettings { address: inventory?, timeout: inventory_timeout, breaker, retry },
            authorities: authorities.unwrap_or_else(RootCertStore::empty),
            metrics: MetricsSettings {
                sink: sink?,
                namespace: namespace?,
                emf_level: lambda_filter.map_or("INFO", |filter| filter.emf_level),
            },
            spans: otlp_endpoint.map_or(xray_daemon.map(SpanDestination::Xray), |endpoint| {
                let protocol = otlp_protocol.unwrap_or_else(|| OtlpProtocol::by_port(&endpoint));
                Some(SpanDestination::Otlp { endpoint, protocol })
            }),
            log_level: log_level.or(lambda_filter.map(|filter| filter.level)).unwrap_or(Level::INFO),
            warnings: exposed_token.then(|| EXPOSED_TOKEN.to_owned()).into_iter().collect(),
        })
    }
}

/// The warning about a token that everyone on the network path can read.
const EXPOSED_TOKEN: &str = "RESERVATION_API_TOKEN is sent in plain text over the network, because RESERVATION_API_BASE \
                             is an http:// URL of another host. Use https://.";

/// Whether requests to `url` leave this machine in plain text.
fn is_exposed(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}
