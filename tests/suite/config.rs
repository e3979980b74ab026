//! Contract section 7: the setting that each variable controls, and the report of all configuration problems.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reservation_worker::config::{Config, ConfigError};
use reservation_worker::telemetry::export::metrics::MetricsSink;
use reservation_worker::telemetry::export::spans::{OtlpProtocol, SpanDestination};
use tracing::Level;

mod addresses;
mod authorities;
mod numbers;
mod secrets;
mod secrets_manager;

pub const REQUIRED: [(&str, &str); 2] =
    [("INVENTORY_GRPC_ADDR", "inventory:50051"), ("RESERVATION_API_BASE", "http://reservation-api:8080")];

/// A PEM file with one certificate. Tests run in the folder of the crate.
const AUTHORITY: &str = "tests/suite/config/authority.pem";

/// Every variable that the function itself reads, with a valid value that differs from its default.
pub const NON_DEFAULTS: [(&str, &str); 22] = [
    ("INVENTORY_GRPC_ADDR", "https://inventory.example"),
    ("RESERVATION_API_BASE", "https://api.example/v1"),
    ("RESERVATION_API_TOKEN", "token"),
    ("TLS_CA_FILE", AUTHORITY),
    ("WORKER_CONCURRENCY", "21"),
    ("MAX_RETRIES", "6"),
    ("BACKOFF_BASE_MS", "1001"),
    ("BACKOFF_MAX_MS", "900001"),
    ("OUTAGE_BACKOFF_MS", "2000,40000"),
    ("INVENTORY_TIMEOUT_MS", "251"),
    ("RESERVATION_API_TIMEOUT_MS", "3001"),
    ("BREAKER_FAILURES", "0"),
    ("BREAKER_OPEN_MS", "5001"),
    ("DEADLINE_RESERVE_MS", "0"),
    ("SQS_QUEUE_URL", "https://sqs.ap-northeast-2.amazonaws.com/123456789012/reservation-events"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("AWS_XRAY_DAEMON_ADDRESS", "169.254.79.129:2000"),
    ("METRICS_SINK", "emf"),
    ("METRICS_NAMESPACE", "Elsewhere"),
    ("LOG_LEVEL", "debug"),
    ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
];

/// Reads the configuration from these variables and no others.
fn read_exactly(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// Reads the configuration from these variables and the required ones.
fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    read_exactly(&[&REQUIRED, variables].concat())
}

/// Reads the configuration from these variables and the required ones. There must be exactly one problem.
/// Returns its message.
fn problem(variables: &[(&str, &str)]) -> String {
    let error = read(variables).expect_err(&format!("{variables:?} is accepted"));
    assert_eq!(error.problems.len(), 1, "{variables:?}: {error}");
    error.problems[0].to_string()
}

#[test]
fn variables_that_are_not_set_have_their_defaults() {
    let config = read(&[]).unwrap();

    assert_eq!(config.inventory.address.as_str(), "http://inventory:50051/");
    assert_eq!(config.reservation_api.base.as_str(), "http://reservation-api:8080/");
    assert_eq!(config.batch.concurrency, 20);
    assert_eq!(config.batch.max_receives, 5);
    assert_eq!(config.backoff.base, Duration::from_millis(1_000));
    assert_eq!(config.backoff.max, Duration::from_millis(900_000));
    assert_eq!(config.backoff.outage, [1, 30, 600].map(Duration::from_secs));
    assert_eq!(config.inventory.timeout, Duration::from_millis(250));
    assert_eq!(config.reservation_api.timeout, Duration::from_millis(3_000));
    assert_eq!(config.inventory.breaker.failures, 20);
    assert_eq!(config.inventory.breaker.open_for, Duration::from_millis(5_000));
    assert_eq!(config.batch.deadline_reserve, Duration::from_millis(1_000));
    assert_eq!(config.sqs_queue_url, None);
    assert_eq!(config.reservation_api.token, None);
    assert!(config.authorities.is_empty());
    assert_eq!(config.spans, None);
    assert_eq!(config.metrics.sink, MetricsSink::CloudWatch);
    assert_eq!(config.metrics.namespace, "TrafficTacos/ReservationWorker");
    assert_eq!(config.log_level, Level::INFO);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn every_variable_is_read() {
    let config = read_exactly(&NON_DEFAULTS).unwrap();

    assert_eq!(config.inventory.address.as_str(), "https://inventory.example/");
    assert_eq!(config.reservation_api.base.as_str(), "https://api.example/v1");
    assert!(format!("{config:?}").contains("token: Some((hidden))"), "{config:?}");
    assert_eq!(config.reservation_api.token.unwrap().expose(), "token");
    assert_eq!(config.authorities.len(), 1);
    assert_eq!(config.batch.concurrency, 21);
    assert_eq!(config.batch.max_receives, 6);
    assert_eq!(config.backoff.base, Duration::from_millis(1_001));
    assert_eq!(config.backoff.max, Duration::from_millis(900_001));
    assert_eq!(config.backoff.outage, [2, 40].map(Duration::from_secs));
    assert_eq!(config.inventory.timeout, Duration::from_millis(251));
    assert_eq!(config.reservation_api.timeout, Duration::from_millis(3_001));
    assert_eq!(config.inventory.breaker.failures, 0);
    assert_eq!(config.inventory.breaker.open_for, Duration::from_millis(5_001));
    assert_eq!(config.batch.deadline_reserve, Duration::ZERO);
    let queue = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/reservation-events";
    assert_eq!(config.sqs_queue_url.unwrap().as_str(), queue);
    let endpoint = "http://localhost:4318".parse().unwrap();
    assert_eq!(config.spans, Some(SpanDestination::Otlp { endpoint, protocol: OtlpProtocol::Grpc }));
    assert_eq!(config.metrics.sink, MetricsSink::Emf);
    assert_eq!(config.metrics.namespace, "Elsewhere");
    assert_eq!(config.log_level, Level::DEBUG);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn only_the_variables_listed_here_and_those_for_secrets_manager_are_read() {
    let variables_read = RefCell::new(BTreeSet::new());
    let environment: BTreeMap<_, _> = REQUIRED.into_iter().collect();
    Config::from_lookup(|name| {
        variables_read.borrow_mut().insert(name.to_owned());
        environment.get(name).map(|value| (*value).to_owned())
    })
    .unwrap();

    let listed = NON_DEFAULTS.map(|(name, _)| name.to_owned()).into();
    let secrets_manager = ["USE_SECRET_MANAGER", "SECRET_NAME"].map(str::to_owned).into();
    let variables_read = variables_read.into_inner();
    assert_eq!(variables_read.difference(&secrets_manager).cloned().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn an_empty_or_blank_variable_takes_its_default() {
    let defaults = format!("{:?}", read(&[]).unwrap());
    for blank in ["", " ", "\t \r\n"] {
        let optional = NON_DEFAULTS.iter().skip(REQUIRED.len()).map(|(name, _)| (*name, blank));
        let config = read(&optional.collect::<Vec<_>>()).unwrap();
        assert_eq!(format!("{config:?}"), defaults, "{blank:?}");
    }
}

#[test]
fn white_space_around_a_value_is_ignored() {
    let spaced = NON_DEFAULTS.map(|(name, value)| (name, format!(" {value}\n")));
    let spaced = spaced.each_ref().map(|(name, value)| (*name, value.as_str()));
    let config = read_exactly(&spaced).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", read_exactly(&NON_DEFAULTS).unwrap()));
    assert_eq!(config.reservation_api.token.unwrap().expose(), "token");
}

#[test]
fn a_missing_or_blank_required_variable_is_a_problem() {
    for missing in REQUIRED.map(|(name, _)| name) {
        let present = REQUIRED.into_iter().filter(|(name, _)| *name != missing);
        for blank in [None, Some(""), Some("  ")] {
            let environment: Vec<_> = present.clone().chain(blank.map(|blank| (missing, blank))).collect();
            let error = read_exactly(&environment).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{error}");
            assert!(error.to_string().contains(&format!("{missing}=(unset): is required")), "{error}");
        }
    }
    assert_eq!(read_exactly(&[]).unwrap_err().problems.len(), 2);
}

#[test]
fn all_problems_are_reported_in_one_message_with_variable_value_and_reason() {
    let invalid: Vec<_> = NON_DEFAULTS.iter().map(|(name, _)| (*name, "not/a good:value")).collect();
    let mut expected: BTreeSet<_> = invalid.iter().map(|(name, _)| *name).collect();

    let error = read_exactly(&invalid).unwrap_err();

    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    // CloudWatch accepts this value as a namespace.
    expected.remove("METRICS_NAMESPACE");
    let reported: BTreeSet<_> = error.problems.iter().map(|problem| problem.variable).collect();
    assert_eq!(reported, expected);
    for problem in &error.problems {
        let is_secret = problem.variable == "RESERVATION_API_TOKEN";
        assert_eq!(problem.value, if is_secret { "(hidden)" } else { "not/a good:value" });
        assert!(problem.reason.len() > 10, "{problem:?}");
        assert!(message.contains(&problem.to_string()), "{problem:?} is not in {message}");
    }
}

#[test]
fn a_missing_required_variable_does_not_hide_other_problems() {
    let error = read_exactly(&[
        ("RESERVATION_API_BASE", "http://api"),
        ("WORKER_CONCURRENCY", "0"),
        ("METRICS_SINK", "stdout"),
    ])
    .unwrap_err();
    let reported: Vec<_> = error.problems.iter().map(|problem| problem.variable).collect();
    assert_eq!(reported, ["INVENTORY_GRPC_ADDR", "WORKER_CONCURRENCY", "METRICS_SINK"]);
}

#[test]
fn the_outage_back_off_is_a_list_of_1_to_20_numbers_that_do_not_decrease() {
    for (value, milliseconds) in [("1", vec![1]), ("5,5, 7", vec![5, 5, 7]), ("43200000", vec![43_200_000])] {
        let expected: Vec<_> = milliseconds.into_iter().map(Duration::from_millis).collect();
        assert_eq!(read(&[("OUTAGE_BACKOFF_MS", value)]).unwrap().backoff.outage, expected);
    }
    let number = "has an entry that is not a whole number from 1 to 43200000";
    let many = ["1"; 21].join(",");
    for (value, reason) in [
        ("0,1", number),
        ("1,,2", number),
        ("1,x", number),
        ("43200001", number),
        ("2,1", "has an entry that is smaller than the one before"),
        (&many, "has more than 20 entries"),
    ] {
        assert_eq!(problem(&[("OUTAGE_BACKOFF_MS", value)]), format!("OUTAGE_BACKOFF_MS={value}: {reason}"));
    }
}

#[test]
fn a_back_off_base_above_the_maximum_is_refused() {
    let problem = problem(&[("BACKOFF_BASE_MS", "2"), ("BACKOFF_MAX_MS", "1")]);
    assert_eq!(problem, "BACKOFF_BASE_MS=2: is greater than BACKOFF_MAX_MS");
}

#[test]
fn the_metrics_sink_is_cloudwatch_emf_or_none() {
    for (value, sink) in
        [("cloudwatch", MetricsSink::CloudWatch), ("emf", MetricsSink::Emf), ("none", MetricsSink::None)]
    {
        assert_eq!(read(&[("METRICS_SINK", value)]).unwrap().metrics.sink, sink);
    }
    for value in ["prometheus", "statsd", "true", "0", "cloudwatch,emf"] {
        let problem = problem(&[("METRICS_SINK", value)]);
        assert_eq!(problem, format!("METRICS_SINK={value}: is not one of cloudwatch, emf, none"));
    }
}

#[test]
fn the_metrics_namespace_must_be_valid_for_cloudwatch() {
    let longest = "n".repeat(255);
    for value in ["A", "Traffic Tacos/worker_1.2-3#4:5", &longest] {
        assert_eq!(read(&[("METRICS_NAMESPACE", value)]).unwrap().metrics.namespace, value);
    }
    for value in ["AWS/Lambda", &"n".repeat(256), "a;b", "좌석", "a\u{7}b", "a\"b"] {
        let problem = problem(&[("METRICS_NAMESPACE", value)]);
        assert!(problem.starts_with(&format!("METRICS_NAMESPACE={value}: ")), "{problem}");
    }
}

#[test]
fn log_level_takes_precedence_over_aws_lambda_log_level() {
    let levels = [
        ("", "", Level::INFO),
        ("debug", "", Level::DEBUG),
        ("info", "", Level::INFO),
        ("warn", "", Level::WARN),
        ("error", "", Level::ERROR),
        ("DEBUG", "", Level::DEBUG),
        ("Warn", "", Level::WARN),
        ("", "DEBUG", Level::DEBUG),
        ("", "INFO", Level::INFO),
        ("", "WARN", Level::WARN),
        ("", "ERROR", Level::ERROR),
        ("", "TRACE", Level::DEBUG), // Lambda has two more levels
        ("", "FATAL", Level::ERROR),
        ("debug", "ERROR", Level::DEBUG),
        ("error", "DEBUG", Level::ERROR),
        (" ", "WARN", Level::WARN),
    ];
    for (log_level, lambda_log_level, level) in levels {
        let config = read(&[("LOG_LEVEL", log_level), ("AWS_LAMBDA_LOG_LEVEL", lambda_log_level)]).unwrap();
        assert_eq!(config.log_level, level, "{log_level:?} {lambda_log_level:?}");
    }
    let levels_of_variables = [
        ("LOG_LEVEL", "debug, info, warn, error"),
        ("AWS_LAMBDA_LOG_LEVEL", "trace, debug, info, warn, error, fatal"),
    ];
    for (variable, levels) in levels_of_variables {
        for value in ["verbose", "warning", "3", "info,hyper=debug", "off"] {
            let problem = problem(&[(variable, value)]);
            assert_eq!(problem, format!("{variable}={value}: is not one of {levels}"));
        }
    }
}

#[test]
fn the_otlp_protocol_is_grpc_or_http_protobuf() {
    let spans = |value| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector");
        read(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", value)]).unwrap().spans
    };
    let endpoint = "http://collector".parse::<url::Url>().unwrap();
    for (value, protocol) in [("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)] {
        assert_eq!(spans(value), Some(SpanDestination::Otlp { endpoint: endpoint.clone(), protocol }));
    }
    assert!(problem(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).contains("grpc, http/protobuf"));
}

#[test]
fn the_x_ray_daemon_address_is_one_address_or_a_tcp_and_a_udp_address() {
    let address = |value| match read(&[("AWS_XRAY_DAEMON_ADDRESS", value)]).unwrap().spans {
        Some(SpanDestination::Xray(address)) => address,
        other => panic!("{other:?}"),
    };
    assert_eq!(address("127.0.0.1:2000").port(), 2000);
    assert_eq!(address("tcp:127.0.0.1:2000 udp:127.0.0.2:2001").to_string(), "127.0.0.2:2001");
    problem(&[("AWS_XRAY_DAEMON_ADDRESS", "daemon:2000")]);
}
