//! Reads one variable at a time and gathers what is wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use tracing::Level;
use url::Url;

use super::{ConfigError, MetricsSink, OtlpProtocol, Problem};

type Parsed<T> = Result<T, String>;

pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    secret: BTreeMap<&'static str, String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, secret: BTreeMap::new(), problems: Vec::new() }
    }

    /// The secret to read, if one is to be read.
    pub(super) fn secret_name(&mut self) -> Option<String> {
        let name =
            self.or("SECRET_NAME", "traffictacos/reservation-worker".to_owned(), |name| Ok(name.to_owned()));
        self.or("USE_SECRET_MANAGER", false, flag).then_some(name)
    }

    /// Takes these before the variables of the same name, and shows none of them.
    pub(super) fn use_secret(&mut self, variables: BTreeMap<&'static str, String>) {
        self.secret = variables;
    }

    pub(super) fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        config.filter(|_| self.problems.is_empty()).ok_or(ConfigError { problems: self.problems })
    }

    pub(super) fn problem(&mut self, variable: &'static str, reason: impl Into<String>) {
        let value = match self.value(variable) {
            None => "(unset)".to_owned(),
            Some(_) if self.secret.contains_key(variable) => "(in the secret)".to_owned(),
            Some(value) => shown(&value),
        };
        self.problems.push(Problem { variable, value, reason: reason.into() });
    }

    pub(super) fn optional<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        parse(&self.value(variable)?).map_err(|reason| self.problem(variable, reason)).ok()
    }

    pub(super) fn or<T>(
        &mut self,
        variable: &'static str,
        default: T,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        self.optional(variable, parse).unwrap_or(default)
    }

    pub(super) fn required<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        if self.value(variable).is_none() {
            self.problem(variable, "is required");
        }
        self.optional(variable, parse)
    }

    pub(super) fn secret<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let hidden = |reason| Problem { variable, value: "(hidden)".to_owned(), reason };
        parse(&self.value(variable)?).map_err(|reason| self.problems.push(hidden(reason))).ok()
    }

    /// `LOG_LEVEL` is the operator's; `AWS_LAMBDA_LOG_LEVEL` is what Lambda's own log filter is set to.
    pub(super) fn log_level(&mut self) -> Level {
        self.optional("LOG_LEVEL", log_level)
            .or_else(|| self.optional("AWS_LAMBDA_LOG_LEVEL", lambda_log_level))
            .unwrap_or(Level::INFO)
    }

    /// Of a line that Lambda's own log filter must let through, whatever we log ourselves.
    pub(super) fn unfiltered_level(&self) -> &'static str {
        let least = self.value("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
        let above_info = ["WARN", "ERROR", "FATAL"];
        above_info.into_iter().find(|level| least.eq_ignore_ascii_case(level)).unwrap_or("INFO")
    }

    fn value(&self, variable: &str) -> Option<String> {
        let values = [self.secret.get(variable).cloned(), (self.lookup)(variable)];
        let mut set = values.into_iter().flatten().map(|value| value.trim().to_owned());
        set.find(|value| !value.is_empty())
    }
}

fn flag(value: &str) -> Parsed<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// A URL can hold a password, or a token in its query.
fn shown(value: &str) -> String {
    let is_url = value.contains("://");
    if value.contains('@') || (is_url && value.contains('?')) {
        "(hidden)".to_owned()
    } else {
        value.to_owned()
    }
}

pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Parsed<T>
where
    T: FromStr + PartialOrd + Display,
{
    move |value| match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("is not a whole number from {} to {}", range.start(), range.end())),
    }
}

pub(super) fn millis(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<Duration> {
    let number = number(range);
    move |value| number(value).map(Duration::from_millis)
}

pub(super) fn http_url(value: &str) -> Parsed<Url> {
    let url = Url::parse(value).map_err(|error| format!("is not a URL: {error}"))?;
    let reason = if !matches!(url.scheme(), "http" | "https") {
        "is not an http:// or https:// URL"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not hold credentials"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must not have a query or a fragment"
    } else if url.port() == Some(0) {
        "has no port from 1 to 65535"
    } else {
        return Ok(url);
    };
    Err(reason.to_owned())
}

pub(super) fn inventory_address(value: &str) -> Parsed<Url> {
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

pub(super) fn bearer_token(value: &str) -> Parsed<String> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(value.to_owned())
    } else {
        Err("has a character that a bearer token cannot have".to_owned())
    }
}

pub(super) fn otlp_protocol(value: &str) -> Parsed<OtlpProtocol> {
    match value {
        "grpc" => Ok(OtlpProtocol::Grpc),
        "http/protobuf" => Ok(OtlpProtocol::HttpProtobuf),
        _ => Err("is not one of grpc, http/protobuf".to_owned()),
    }
}

/// One address, or X-Ray's other form: `tcp:… udp:…`.
pub(super) fn xray_daemon(value: &str) -> Parsed<SocketAddr> {
    let udp = value.split(' ').find_map(|part| part.strip_prefix("udp:")).unwrap_or(value);
    udp.parse().map_err(|_| "is not address:port, with the address in numbers".to_owned())
}

pub(super) fn metrics_sink(value: &str) -> Parsed<MetricsSink> {
    match value {
        "cloudwatch" => Ok(MetricsSink::CloudWatch),
        "emf" => Ok(MetricsSink::Emf),
        "none" => Ok(MetricsSink::None),
        _ => Err("is not one of cloudwatch, emf, none".to_owned()),
    }
}

/// CloudWatch's rule for a namespace: 1 to 255 of these characters, and `AWS/` is its own.
pub(super) fn metrics_namespace(value: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    if value.len() > 255 || !value.bytes().all(allowed) || value.starts_with("AWS/") {
        return Err(
            "is not a CloudWatch namespace: at most 255 of A-Z a-z 0-9 . - _ / # :, not AWS/".to_owned()
        );
    }
    Ok(value.to_owned())
}

fn log_level(value: &str) -> Parsed<Level> {
    match value.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" => Ok(Level::WARN),
        "error" => Ok(Level::ERROR),
        _ => Err("is not one of debug, info, warn, error".to_owned()),
    }
}

/// Lambda has two levels more than we log at.
fn lambda_log_level(value: &str) -> Parsed<Level> {
    match value.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::DEBUG),
        "fatal" => Ok(Level::ERROR),
        other => log_level(other),
    }
}
