//! The definition of every variable: its name, its default and its meaning.
//!
//! The configuration takes the defaults from here, and `docs/configuration.md` its table.

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
    /// No value. The text says what the worker does without one, in Markdown.
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
        "Address of the inventory: `host:port` (plain text), `http://…`, or `https://…` (TLS, web roots)";
    RESERVATION_API_BASE, Required,
        "Address of the reservation API: `http://…` or `https://…`; a path prefix is allowed";
    RESERVATION_API_TOKEN, Absent("none"),
        "Bearer token for the reservation API; never logged";
    WORKER_CONCURRENCY, Value("20"),
        "Largest number of records processed at once, 1 to 1000";
    INVENTORY_TIMEOUT_MS, Value("250"),
        "Time-out of each attempt of a call to the inventory";
    RESERVATION_API_TIMEOUT_MS, Value("3000"),
        "Time-out of each attempt of a call to the reservation API";
    DEADLINE_RESERVE_MS, Value("1000"),
        "Part of the invocation's time that is reserved for the response, 100 ms at least. The function time-out must be \
         longer";
    MAX_RETRIES, Value("5"),
        "Receives before a message goes to the dead-letter queue; must equal the queue's `maxReceiveCount`";
    BACKOFF_BASE_MS, Value("1000"),
        "Visibility time-out after the first receive; doubles with each receive";
    BACKOFF_MAX_MS, Value("900000"),
        "Longest visibility time-out, and longest `Retry-After` that is honoured";
    BREAKER_FAILURES, Value("20"),
        "Failures in a row that open the breaker of a service; 0 turns breakers off";
    BREAKER_OPEN_MS, Value("5000"),
        "How long a breaker stays open before it lets a probe through; 0 turns breakers off";
    SQS_QUEUE_URL, Absent("from the ARN of the records"),
        "URL of the queue";
    USE_SECRET_MANAGER, Value("false"),
        "`true` reads the secret `SECRET_NAME` from Secrets Manager at the start";
    SECRET_NAME, Value("traffictacos/reservation-worker"),
        "Name of the secret: a JSON object with any of the keys `inventory_grpc_addr`, `reservation_api_base`, \
         `sqs_queue_url`, `otel_endpoint`, `reservation_api_token`. A key takes precedence over its variable";
    OTEL_EXPORTER_OTLP_ENDPOINT, Absent("X-Ray daemon"),
        "URL of an OpenTelemetry collector for the spans. Without it, spans go to the X-Ray daemon";
    OTEL_EXPORTER_OTLP_PROTOCOL, Absent("by port"),
        "`grpc` (the default for port 4317) or `http/protobuf` (the default for any other port)";
    AWS_XRAY_DAEMON_ADDRESS, Absent("none"),
        "Address of the X-Ray daemon, set by Lambda. Without it and without a collector, spans go nowhere";
    METRICS_SINK, Value("cloudwatch"),
        "`cloudwatch` (PutMetricData), `emf` (log lines that CloudWatch Logs turns into metrics) or `none`";
    METRICS_NAMESPACE, Value("TrafficTacos/ReservationWorker"),
        "CloudWatch namespace. Use one per stack, because its alarms add up everything in it";
    LOG_LEVEL, Absent("`AWS_LAMBDA_LOG_LEVEL`, otherwise `info`"),
        "Least severe level that is logged: `debug`, `info`, `warn` or `error`";
    AWS_LAMBDA_LOG_LEVEL, Absent("none"),
        "Level of Lambda's own log filter, set by Lambda";
}
