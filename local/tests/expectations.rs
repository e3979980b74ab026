//! Tests of the sample events and their expected results.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, but not in their helper functions"
)]

use std::fs;
use std::path::{Path, PathBuf};

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Case, Summary};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn every_event_of_the_repository_has_an_expectation() {
    let cases = expectations::load(&events()).unwrap();
    assert!(cases.len() >= 20);
}

#[test]
fn an_event_without_an_expectation_is_rejected() {
    let folder = folder(&json!({}), &["stray"]);
    assert!(load_error(&folder).ends_with("no expectation for `stray`"));
}

#[test]
fn an_expectation_without_an_event_is_rejected() {
    let folder = folder(&json!({ "missing": { "records": [] } }), &[]);
    assert!(load_error(&folder).ends_with("no event file for `missing`"));
}

#[test]
fn an_expectation_with_a_different_number_of_records_is_rejected() {
    let folder = folder(&json!({ "short": { "records": [] } }), &["short"]);
    assert!(load_error(&folder).ends_with("has 1 records, 0 are expected"));
}

#[test]
fn an_expectation_with_an_unknown_field_is_rejected() {
    let folder = folder(&json!({ "short": { "record": [] } }), &["short"]);
    assert!(load_error(&folder).contains("unknown field `record`"));
}

#[tokio::test]
async fn every_result_of_a_function_that_does_nothing_is_a_difference() {
    let services = Services::start().await.unwrap();
    let case = repository_case("reservation-api-unavailable");
    case.given.apply(&services).unwrap();

    let report = case.check(&services, &json!({ "batchItemFailures": [] }), &[]);

    for subject in ["the response", "summary lines", "event type", "outcome", "calls"] {
        assert!(
            report.differences.iter().any(|difference| difference.contains(subject)),
            "{subject}: {report:?}"
        );
    }
    assert_eq!(report.records[0].outcome, "-");
    assert_eq!(report.records[0].reservation[1], "HOLD");
}

#[tokio::test]
async fn unexpected_calls_and_summary_lines_are_differences() {
    let services = Services::start().await.unwrap();
    let case = repository_case("empty-batch");
    case.given.apply(&services).unwrap();
    let base = services.reservation_api_base();
    // The workspace's reqwest has no default TLS provider.
    _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::get(format!("{base}/internal/reservations/rsv_other")).await.unwrap();
    let line = json!({ "message_id": "m", "event_type": "unknown", "outcome": "invalid_payload", "reason": "body: is no JSON" });

    let response = json!({ "batchItemFailures": [] });
    let report = case.check(&services, &response, &[Summary::of(&line).unwrap()]);

    assert_eq!(
        report.differences,
        [
            r#"calls for other reservations: expected {}, was {"rsv_other":["GET -> 404 RESERVATION_NOT_FOUND"]}"#,
            "summary lines of other records: expected 0, was 1",
        ]
    );
}

#[tokio::test]
async fn a_case_with_the_expected_results_has_no_differences() {
    let services = Services::start().await.unwrap();
    let case = repository_case("simulator-payment-pending");
    case.given.apply(&services).unwrap();
    let message_id = &case.event["Records"][0]["messageId"];
    let line = json!({ "message_id": message_id, "event_type": "payment.status_updated", "outcome": "ignored", "reason": "needs no work" });

    let response = json!({ "batchItemFailures": [] });
    let report = case.check(&services, &response, &[Summary::of(&line).unwrap()]);

    assert_eq!(report.differences, [""; 0]);
}

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn repository_case(name: &str) -> Case {
    let cases = expectations::load(&events()).unwrap();
    cases.into_iter().find(|case| case.name() == name).unwrap()
}

/// A folder with the structure of `events/`. Each event has one record.
fn folder(expectations: &Value, events: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("expected")).unwrap();
    fs::write(folder.path().join("expected/expectations.json"), expectations.to_string()).unwrap();
    for name in events {
        let event = json!({ "Records": [{ "messageId": "m", "body": "" }] });
        fs::write(folder.path().join(format!("{name}.json")), event.to_string()).unwrap();
    }
    folder
}

fn load_error(folder: &TempDir) -> String {
    expectations::load(folder.path()).unwrap_err().to_string()
}
