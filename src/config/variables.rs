//! The definition of every variable: its name, its default and its meaning.
//!
//! The configuration uses these defaults, and the table in `docs/configuration.md` is generated from these
//! definitions.

/// An environment variable that the worker reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value if it is unset or empty.
    pub default: DefaultValue,
    /// Its meaning, in Markdown.
    pub meaning: &'static str,
}

/// What an unset variable means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The variable must be set.
    Required,
    /// This value.
    Value(&'static str),
    /// No value. The text says, in Markdown, what the worker does without one or who sets it.
    Absent(&'static str),
}

macro_rules! variables {
    ($($name:ident, $default:expr, $meaning:expr;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Variable =
                Variable { name: stringify!($name), default: $default, meaning: $meaning };
        )*

        /// All variables, in the order of the documentation.
        pub const ALL: &[Variable] = &[$($name),*];
    };
}

use DefaultValue::{Absent, Required, Value};

variables! {
    INVENTORY_GRPC_ADDR, Required,
        "Address of the inventory: `host:port` or `http://…` (plain text), or `https://…` (TLS); without a path";
    RESERVATION_API_BASE, Required,
        "Base URL of the reservation API: `http://…` or `https://…`; a path prefix is allowed";
    RESERVATION_API_TOKEN, Absent("none"),
        "Bearer token for the reservation API; never logged";
    TLS_CA_FILE, Absent("none"),
        "PEM file with certificate authorities that are trusted for both services, besides the web roots";
    WORKER_CONCURRENCY, Value("20"),
        "Largest number of records that are processed at once, 1 to 1000";
    MAX_RETRIES, Value("5"),
        "Receives before a message moves to the dead-letter queue, 1 to 1000; must equal `maxReceiveCount` of the queue";
    BACKOFF_BASE_MS, Value("1000"),
        "Visibility time-out after the first receive in ms, 1 to 43200000; it doubles with each receive";
    BACKOFF_MAX_MS, Value("900000"),
        "Longest usual back-off, and longest `Retry-After` that is honoured, in ms, 1 to 43200000; it does not limit `OUTAGE_BACKOFF_MS`";
    OUTAGE_BACKOFF_MS, Value("1000,30000,600000"),
        "Visibility time-outs in ms during an outage of a service, separated by commas: the n-th one after the n-th receive, \
         and the last one repeats. 1 to 20 numbers, none smaller than the one before";
    INVENTORY_TIMEOUT_MS, Value("250"),
        "Time-out of each attempt of a call to the inventory in ms, 1 to 900000";
    RESERVATION_API_TIMEOUT_MS, Value("3000"),
        "Time-out of each attempt of a call to the reservation API in ms, 1 to 900000";
    BREAKER_FAILURES, Value("20"),
        "Number of consecutive attempts that must find a service unavailable or misconfigured before its breaker opens, 0 to \
         1000000; 0 turns off the breakers and the limit of attempts at an overloaded service";
    BREAKER_OPEN_MS, Value("5000"),
        "Time in ms for which a breaker stays open before it permits a probe, 0 to 900000; 0 turns off the breakers and the \
         limit of attempts at an overloaded service";
    DEADLINE_RESERVE_MS, Value("1000"),
        "Part of the invocation's time in ms that is reserved for the visibility time-outs and the response, 0 to 900000; at \
         least 100 ms are always reserved. The function time-out must be longer than the reserve";
    SQS_QUEUE_URL, Absent("from the ARN"),
        "URL of the queue; without it, the URL is derived from the ARN in the records";
    USE_SECRET_MANAGER, Value("false"),
        "`true` reads the secret `SECRET_NAME`; see [the secret](#the-secret)";
    SECRET_NAME, Value("traffictacos/reservation-worker"),
        "Name or ARN of the secret";
    OTEL_EXPORTER_OTLP_ENDPOINT, Absent("none"),
        "URL of an OpenTelemetry collector that receives the spans";
    OTEL_EXPORTER_OTLP_PROTOCOL, Absent("by port"),
        "`grpc` or `http/protobuf`; without it, `grpc` for port 4317 and `http/protobuf` for any other port";
    AWS_XRAY_DAEMON_ADDRESS, Absent("set by Lambda"),
        "Address of the X-Ray daemon, which receives the spans if there is no collector";
    METRICS_SINK, Value("cloudwatch"),
        "`cloudwatch` (PutMetricData), `emf` (log lines that CloudWatch Logs turns into metrics) or `none`";
    METRICS_NAMESPACE, Value("TrafficTacos/ReservationWorker"),
        "CloudWatch namespace of the metrics; use one per stack, because the alarms of a stack count all metrics in the \
         namespace";
    LOG_LEVEL, Absent("`AWS_LAMBDA_LOG_LEVEL`, otherwise `info`"),
        "Least severe level that is logged: `debug`, `info`, `warn` or `error`";
    AWS_LAMBDA_LOG_LEVEL, Absent("set by Lambda"),
        "Level of Lambda's own log filter";
}
