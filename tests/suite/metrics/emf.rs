//! `METRICS_SINK=emf`: lines within the limits of the embedded metric format's specification.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use reservation_worker::telemetry::metrics::ClockReading;
use serde_json::{Value, json};

use crate::logs::assert_rfc_3339;
use crate::test_app::{TestApp, expired, sqs};

/// Bytes of a log event that every reader of the log takes whole.
const LARGEST: usize = 256 * 1_024;

async fn lines_of(app: &TestApp, records: usize) -> Vec<Value> {
    let before = app.emf().lines().len();
    let ids: Vec<_> = (0..records).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold_if_new(id));
    app.run(sqs(ids.iter().map(|id| (id.as_str(), expired(id))))).await;
    assert_eq!(app.after_response(ClockReading::now()).await, "");
    let text = app.emf().text();
    assert!(text.lines().all(|line| line.len() < LARGEST));
    app.emf().lines().split_off(before)
}

/// The specification's rules for a line, and Lambda's.
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
async fn each_invocation_writes_one_line_for_each_set_of_dimensions() {
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
async fn what_does_not_fit_into_one_line_goes_into_more() {
    let app = TestApp::with(&[("METRICS_SINK", "emf")]).await;
    let lines = lines_of(&app, 250).await;
    lines.iter().for_each(check);
    assert_eq!(values(&lines, "worker_latency_seconds", &[]).len(), 250);
    assert_eq!(values(&lines, "worker_latency_seconds", &[("type", "reservation.expired")]).len(), 250);
    assert_eq!(values(&lines, "worker_batch_size", &[]), [&json!(250.0)], "once");
}

#[tokio::test]
async fn the_level_is_one_that_lambdas_filter_lets_through_whatever_we_log_ourselves() {
    for (ours, lambdas, level) in [
        ("", "", "INFO"),
        ("debug", "TRACE", "INFO"),
        ("error", "", "INFO"),
        ("error", "DEBUG", "INFO"),
        ("error", "INFO", "INFO"),
        ("info", "WARN", "WARN"),
        ("", "ERROR", "ERROR"),
        ("", "FATAL", "FATAL"),
    ] {
        let variables = [("METRICS_SINK", "emf"), ("LOG_LEVEL", ours), ("AWS_LAMBDA_LOG_LEVEL", lambdas)];
        let app = TestApp::with(&variables).await;
        for line in lines_of(&app, 1).await {
            check(&line);
            assert_eq!(line["level"], level);
        }
    }
}

#[tokio::test]
async fn the_time_is_that_of_the_invocation() {
    let app = TestApp::with(&[("METRICS_SINK", "emf")]).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let lines = lines_of(&app, 1).await;
    let timestamp = lines[0]["_aws"]["Timestamp"].as_i64().unwrap();
    assert!(timestamp >= before && timestamp - before < 600_000, "{timestamp}");
}
