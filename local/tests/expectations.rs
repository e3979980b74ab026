//! What the expectations of `events/` catch.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of a test for something else")]

use std::fs;
use std::path::{Path, PathBuf};

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Case, Summary};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn every_event_of_the_repository_has_its_expectation() {
    let cases = expectations::load(&events()).unwrap();
    assert!(cases.len() >= 20);
}

#[test]
fn an_event_without_expectation_is_refused() {
    let folder = folder(&json!({}), &["stray"]);
    assert!(refusal(&folder).ends_with("no expectation for `stray`"));
}

#[test]
fn an_expectation_without_event_is_refused() {
    let folder = folder(&json!({ "missing": { "records": [] } }), &[]);
    assert!(refusal(&folder).ends_with("no event file for `missing`"));
}

#[test]
fn an_expectation_of_another_number_of_records_is_refused() {
    let folder = folder(&json!({ "short": { "records": [] } }), &["short"]);
    assert!(refusal(&folder).ends_with("has 1 records, 0 are expected"));
}

#[test]
fn a_misspelled_field_of_an_expectation_is_refused() {
    let folder = folder(&json!({ "short": { "record": [] } }), &["short"]);
    assert!(refusal(&folder).contains("unknown field `record`"));
}

#[tokio::test]
async fn a_function_that_does_nothing_differs_in_everything() {
    let services = Services::start().await.unwrap();
    let case = repository_case("reservation-api-unavailable");
    case.given.apply(&services).unwrap();

    let checked = case.check(&services, &json!({ "batchItemFailures": [] }), &[]);

    for what in ["the response", "summary lines", "event type", "outcome", "calls"] {
        assert!(
            checked.differences.iter().any(|difference| difference.contains(what)),
            "{what}: {checked:?}"
        );
    }
    assert_eq!(checked.rows[0].outcome, "-");
    assert_eq!(checked.rows[0].reservation[1], "HOLD");
}

#[tokio::test]
async fn what_nobody_expected_differs() {
    let services = Services::start().await.unwrap();
    let case = repository_case("empty-batch");
    case.given.apply(&services).unwrap();
    let base = services.reservation_api_base();
    // The workspace's reqwest has no TLS provider of its own.
    _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::get(format!("{base}/internal/reservations/rsv_other")).await.unwrap();
    let line = json!({ "message_id": "m", "event_type": "unknown", "outcome": "invalid_payload" });

    let response = json!({ "batchItemFailures": [] });
    let checked = case.check(&services, &response, &[Summary::of(&line).unwrap()]);

    assert_eq!(
        checked.differences,
        [
            r#"calls about other reservations: expected {}, was {"rsv_other":["GET -> 404 RESERVATION_NOT_FOUND"]}"#,
            "summary lines of other records: expected 0, was 1",
        ]
    );
}

#[tokio::test]
async fn a_case_that_ends_as_expected_has_no_differences() {
    let services = Services::start().await.unwrap();
    let case = repository_case("simulator-payment-pending");
    case.given.apply(&services).unwrap();
    let message_id = &case.event["Records"][0]["messageId"];
    let line =
        json!({ "message_id": message_id, "event_type": "payment.status_updated", "outcome": "ignored" });

    let response = json!({ "batchItemFailures": [] });
    let checked = case.check(&services, &response, &[Summary::of(&line).unwrap()]);

    assert_eq!(checked.differences, [""; 0]);
}

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn repository_case(name: &str) -> Case {
    let cases = expectations::load(&events()).unwrap();
    cases.into_iter().find(|case| case.name() == name).unwrap()
}

/// A folder like `events/`, whose events have one record each.
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

fn refusal(folder: &TempDir) -> String {
    expectations::load(folder.path()).unwrap_err().to_string()
}
