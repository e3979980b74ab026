//! Parses the text of each variable and checks its range.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::Level;
use url::{ParseError, Url};

use crate::telemetry::export::metrics::MetricsSink;
use crate::telemetry::export::spans::OtlpProtocol;

/// The value of a variable, or what is wrong with its text: the end of a sentence that begins with the variable.
pub(super) type ParseResult<T> = Result<T, String>;

/// SQS keeps a message invisible for at most 12 hours.
const VISIBILITY_TIMEOUT_MS: RangeInclusive<u64> = 1..=12 * 3_600_000;
/// Lambda ends an invocation after at most 15 minutes.
const ATTEMPT_TIMEOUT_MS: RangeInclusive<u64> = 1..=900_000;

pub(super) fn text(value: &str) -> ParseResult<String> {
    Ok(value.to_owned())
}

pub(super) fn flag(value: &str) -> ParseResult<bool> {
    value.parse().map_err(|_| "is neither true nor false".to_owned())
}

pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> ParseResult<T>
where
    T: FromStr + PartialOrd + Display,
{
    move |value| match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("is not a whole number from {} to {}", range.start(), range.end())),
    }
}

pub(super) fn millis(range: RangeInclusive<u64>) -> impl Fn(&str) -> ParseResult<Duration> {
    let number = number(range);
    move |value| number(value).map(Duration::from_millis)
}

pub(super) fn visibility_timeout(value: &str) -> ParseResult<Duration> {
    millis(VISIBILITY_TIMEOUT_MS)(value)
}

pub(super) fn outage_backoff(value: &str) -> ParseResult<Vec<Duration>> {
    let list = value.split(',').map(|entry| visibility_timeout(entry.trim())).collect::<Result<Vec<_>, _>>();
    let list = list.map_err(|reason| format!("has an entry that {reason}"))?;
    if list.len() > 20 {
        Err("has more than 20 entries".to_owned())
    } else if !list.is_sorted() {
        Err("has an entry that is smaller than the one before".to_owned())
    } else {
        Ok(list)
    }
}

pub(super) fn attempt_timeout(value: &str) -> ParseResult<Duration> {
    millis(ATTEMPT_TIMEOUT_MS)(value)
}

pub(super) fn http_url(value: &str) -> ParseResult<Url> {
    let url = Url::parse(value).map_err(|error| match error {
        // The library reports this for each character that a host name must not contain.
        ParseError::IdnaError if value.is_ascii() => "has a host name that is not valid".to_owned(),
        ParseError::IdnaError => "has a host name that is not in its ASCII form (xn--…)".to_owned(),
        error => format!("is not a URL: {error}"),
    })?;
    let reason = if !matches!(url.scheme(), "http" | "https") {
        "is not an http:// or https:// URL"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not contain credentials"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must not have a query or a fragment"
    } else if url.port() == Some(0) {
        "has no port from 1 to 65535"
    } else {
        return Ok(url);
    };
    Err(reason.to_owned())
}

pub(super) fn inventory_address(value: &str) -> ParseResult<Url> {
    let url = if value.contains("://") {
        http_url(value)?
    } else {
        let (_, port) = value.rsplit_once(':').ok_or("is neither host:port nor a URL")?;
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err("has no port from 1 to 65535".to_owned());
        }
        http_url(&format!("http://{value}"))?
    };
    if url.path() == "/" { Ok(url) } else { Err("must not have a path".to_owned()) }
}

pub(super) fn bearer_token(value: &str) -> ParseResult<String> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(value.to_owned())
    } else {
        Err("contains a character that is not allowed in a bearer token".to_owned())
    }
}

/// The certificate authorities in the PEM file at `path`. The reason of a failure contains no text of the file.
pub(super) fn certificate_authorities(path: &str) -> ParseResult<RootCertStore> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut authorities = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&pem)) {
        let certificate = certificate.map_err(|_| "is not a valid PEM file")?;
        let added = authorities.add(certificate);
        added.map_err(|_| format!("certificate {number} of the file is not an X.509 certificate"))?;
    }
    if authorities.is_empty() { Err("contains no certificate".to_owned()) } else { Ok(authorities) }
}

pub(super) fn otlp_protocol(value: &str) -> ParseResult<OtlpProtocol> {
    match value {
        "grpc" => Ok(OtlpProtocol::Grpc),
        "http/protobuf" => Ok(OtlpProtocol::HttpProtobuf),
        _ => Err("is not one of grpc, http/protobuf".to_owned()),
    }
}

/// Either `address:port`, or the other form that X-Ray allows: `tcp:address:port udp:address:port`. Spans are sent to
/// the UDP address.
pub(super) fn xray_daemon(value: &str) -> ParseResult<SocketAddr> {
    let udp = value.split(' ').find_map(|part| part.strip_prefix("udp:")).unwrap_or(value);
    udp.parse().map_err(|_| "is not address:port with a numeric address".to_owned())
}

pub(super) fn metrics_sink(value: &str) -> ParseResult<MetricsSink> {
    match value {
        "cloudwatch" => Ok(MetricsSink::CloudWatch),
        "emf" => Ok(MetricsSink::Emf),
        "none" => Ok(MetricsSink::None),
        _ => Err("is not one of cloudwatch, emf, none".to_owned()),
    }
}

/// CloudWatch's rule for a namespace: 1 to 255 of these characters; namespaces that begin with `AWS/` are reserved.
pub(super) fn metrics_namespace(value: &str) -> ParseResult<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    if value.len() > 255 || !value.bytes().all(allowed) || value.starts_with("AWS/") {
        return Err(
            "is not a CloudWatch namespace: at most 255 of A-Z a-z 0-9 . - _ / # :, not AWS/".to_owned()
        );
    }
    Ok(value.to_owned())
}

pub(super) fn log_level(value: &str) -> ParseResult<Level> {
    match value.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" => Ok(Level::WARN),
        "error" => Ok(Level::ERROR),
        _ => Err("is not one of debug, info, warn, error".to_owned()),
    }
}

/// The level of Lambda's own log filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct LambdaLogFilter {
    /// The least severe level that the worker logs if `LOG_LEVEL` is not set.
    pub(super) level: Level,
    /// The level of EMF lines, at least `INFO`. The filter must not drop them, whatever the level of the log is.
    pub(super) emf_level: &'static str,
}

pub(super) fn lambda_log_filter(value: &str) -> ParseResult<LambdaLogFilter> {
    let (level, emf_level) = match value.to_ascii_lowercase().as_str() {
        "trace" | "debug" => (Level::DEBUG, "INFO"),
        "info" => (Level::INFO, "INFO"),
        "warn" => (Level::WARN, "WARN"),
        "error" => (Level::ERROR, "ERROR"),
        "fatal" => (Level::ERROR, "FATAL"),
        _ => return Err("is not one of trace, debug, info, warn, error, fatal".to_owned()),
    };
    Ok(LambdaLogFilter { level, emf_level })
}
