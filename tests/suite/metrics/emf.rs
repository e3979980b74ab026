//! `METRICS_SINK=emf`: the lines comply with the specification of the embedded metric format.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sqs_batch::ClockReading;

use crate::logs::assert_rfc_3339;
use crate::test_app::{TestApp, expired, sqs};

/// The size in bytes up to which every consumer of the log accepts a log event undivided.
const MAX_LINE_BYTES: usize = 256 * 1_024;

async fn lines_of(app: &TestApp, records: usize) -> Vec<Value> {
    let before = app.emf().lines().len();
    let ids: Vec<_> = (0..records).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold_if_new(id));
    app.run(sqs(ids.iter().map(|id| (id.as_str(), expired(id))))).await;
    assert_eq!(app.after_response(ClockReading::now()).await, "");
    let text = app.emf().text();
    assert!(text.lines().all(|line| line.len() < MAX_LINE_BYTES));
    app.emf().lines().split_off(before)
}

/// Checks a line against the rules of the specification and of Lambda.
fn check(line: &Value) {
    assert!(["level", "message"].iter().all(|name| line[name].is_string()), "{line}");
    assert_rfc_3339(line["timestamp"].as_str().unwrap());
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let timestamp = line["_aws"]["Timestamp"].as_i64().unwrap();
    assert!((now - timestamp).abs() < 600_000, "milliseconds: {timestamp}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    for directive in directives {
        assert_eq!(directive["Namespace"], "TrafficTacos/ReservationWorker");
        for set in directive["Dimensions"].as_array().unwrap() {
            let names = set.as_array().unwrap();
            assert!(names.len() <= 30);
            for name in names.iter().map(|name| name.as_str().unwrap()) {
                assert!((1..=250).contains(&name.len()));
                assert!((1..=1_024).contains(&line[name].as_str().unwrap().len()), "{line}");
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(["Seconds", "Count"].contains(&metric["Unit"].as_str().unwrap()));
            let values = line[metric["Name"].as_str().unwrap()].as_array().unwrap();
            assert!((1..=100).contains(&values.len()), "{} values", values.len());
            assert!(values.iter().all(|value| value.as_f64().unwrap().is_finite()));
        }
    }
}

fn values<'a>(lines: &'a [Value], name: &str, dimensions: &[(&str, &str)]) -> Vec<&'a Value> {
    let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
    let lines = lines.iter().filter(|line| {
        line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == json!([names])
            && dimensions.iter().all(|(name, value)| line[name] == *value)
    });
    lines.filter_map(|line| line.get(name)).flat_map(|values| values.as_array().unwrap()).collect()
}

#[tokio::test]
async fn each_invocation_writes_one_line_per_combination_of_dimension_values() {
    let app = TestApp::with(&[("METRICS_SINK", "emf")]).await;
    for _ in 0..2 {
        let lines = lines_of(&app, 3).await;
        lines.iter().for_each(check);
        let distinct: BTreeSet<_> = lines
            .iter()
            .map(|line| {
                let names = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0].as_array().unwrap();
                let values: Vec<_> =
                    names.iter().map(|name| line[name.as_str().unwrap()].to_string()).collect();
                format!("{names:?} {values:?}")
            })
            .collect();
        assert_eq!(distinct.len(), lines.len());
        assert!(lines.iter().all(|line| line["request_id"] == "request-1"));
        assert_eq!(values(&lines, "worker_batch_size", &[]), [&json!(3.0)]);
        let dimensions = [("type", "reservation.expired"), ("outcome", "success")];
        assert_eq!(values(&lines, "worker_events_total", &dimensions), [&json!(3.0)]);
        assert_eq!(values(&lines, "worker_latency_seconds", &[("type", "reservation.expired")]).len(), 3);
        assert_eq!(values(&lines, "worker_latency_seconds", &[]).len(), 3);
    }
    assert_eq!(app.services.cloudwatch().calls(), 0);
}

#[tokio::test]
async fn values_that_do_not_fit_into_one_line_are_split_across_several_lines() {
    let app = TestApp::with(&[("METRICS_SINK", "emf")]).await;
    let lines = lines_of(&app, 250).await;
    lines.iter().for_each(check);
    assert_eq!(values(&lines, "worker_latency_seconds", &[]).len(), 250);
    assert_eq!(values(&lines, "worker_latency_seconds", &[("type", "reservation.expired")]).len(), 250);
    assert_eq!(values(&lines, "worker_batch_size", &[]), [&json!(250.0)], "the value is written once");
}

#[tokio::test]
async fn the_level_of_a_line_passes_lambdas_filter_whatever_log_level_is_set() {
    for (log_level, lambda_log_level, expected) in [
        ("", "", "INFO"),
        ("debug", "TRACE", "INFO"),
        ("error", "", "INFO"),
        ("error", "DEBUG", "INFO"),
        ("error", "INFO", "INFO"),
        ("info", "WARN", "WARN"),
        ("", "ERROR", "ERROR"),
        ("", "FATAL", "FATAL"),
    ] {
        let variables =
            [("METRICS_SINK", "emf"), ("LOG_LEVEL", log_level), ("AWS_LAMBDA_LOG_LEVEL", lambda_log_level)];
        let app = TestApp::with(&variables).await;
        for line in lines_of(&app, 1).await {
            check(&line);
            assert_eq!(line["level"], expected);
        }
    }
}

#[tokio::test]
async fn the_timestamp_is_the_time_of_the_invocation() {
    let app = TestApp::with(&[("METRICS_SINK", "emf")]).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let lines = lines_of(&app, 1).await;
    let timestamp = lines[0]["_aws"]["Timestamp"].as_i64().unwrap();
    assert!(timestamp >= before && timestamp - before < 600_000, "{timestamp}");
}
