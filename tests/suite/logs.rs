//! Contract section 8, logs: one JSON object per line, one summary line per record.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, approved, context_of_version, expired, failed, fifo, record, sqs};

mod levels;
mod secrecy;
mod traces;

/// One record for each way in which processing can end: message id, outcome, level of the summary line, body. The
/// message id is also the reservation id and the message group.
fn one_record_per_outcome() -> [(&'static str, &'static str, &'static str, Value); 8] {
    [
        ("done", "success", "INFO", expired("done")),
        ("superseded", "superseded", "INFO", expired("superseded")),
        ("ignored", "ignored", "INFO", pending("ignored")),
        ("retried", "retried", "WARN", approved("retried")),
        ("rejected", "failed", "ERROR", approved("rejected")),
        ("incomplete", "invalid_payload", "ERROR", without_reservation()),
        ("not-json", "invalid_payload", "ERROR", json!("no JSON")),
        // An earlier record of its message group is returned.
        ("blocked", "deferred", "WARN", failed("blocked")),
    ]
}

fn pending(reservation_id: &str) -> Value {
    json!({
        "detail-type": "Payment Status Updated",
        "detail": {
            "event_type": "payment.status_updated",
            "payment_id": "pay_1",
            "reservation_id": reservation_id,
            "event_id": "evt_1",
            "status": "PAYMENT_STATUS_PENDING",
        },
    })
}

fn without_reservation() -> Value {
    json!({ "detail-type": "payment.failed", "detail": { "event_id": "evt_1" } })
}

/// A test app in which each record of [`one_record_per_outcome`] has its expected outcome.
async fn app(variables: &[(&str, &str)]) -> TestApp {
    // None of the receive counts 1 to 8 is the last receive.
    let app = TestApp::with(&[&[("MAX_RETRIES", "9")], variables].concat()).await;
    for id in ["done", "superseded", "ignored", "retried", "rejected", "blocked"] {
        app.hold(id);
    }
    app.services.set_reservation_status("superseded", Status::Confirmed);
    app.services.set_reservation_status("rejected", Status::Expired);
    app.services.fault(Fault::on(Operation::UpdateStatus, "retried", Effect::http(500)));
    app
}

async fn run_one_record_per_outcome(app: &TestApp) -> BatchRun {
    app.run(event_with_one_record_per_outcome()).await
}

/// A FIFO event with the records of [`one_record_per_outcome`]. The receive count and the trace id of a record are
/// its position, starting at 1.
fn event_with_one_record_per_outcome() -> Value {
    let mut event = fifo(one_record_per_outcome().map(|(id, _, _, body)| (id, id, body)));
    for (number, record) in event["Records"].as_array_mut().unwrap().iter_mut().enumerate() {
        record["attributes"]["ApproximateReceiveCount"] = json!((number + 1).to_string());
        let traceparent = format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
        record["messageAttributes"]["traceparent"] =
            json!({ "stringValue": traceparent, "dataType": "String" });
        if record["messageId"] == "blocked" {
            record["attributes"]["MessageGroupId"] = json!("retried");
        }
    }
    event
}

fn field_names(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn each_record_has_one_summary_line_with_all_fields() {
    let run = run_one_record_per_outcome(&app(&[]).await).await;

    let all = one_record_per_outcome();
    assert_eq!(run.log.len(), all.len(), "{}", run.text);
    for (number, (id, outcome, level, _)) in all.into_iter().enumerate() {
        let line = run.line(id);
        let mut expected = json!({
            "level": level,
            "outcome": outcome,
            "message_id": id,
            "attempt": number + 1,
            "trace_id": format!("{:032x}", number + 1),
            "request_id": "request-1",
            "version": env!("CARGO_PKG_VERSION"),
            "cold_start": true,
            "message_group_id": if id == "blocked" { "retried" } else { id },
            "event_type": match id {
                "done" | "superseded" => "reservation.expired",
                "retried" | "rejected" => "payment.approved",
                "blocked" | "incomplete" => "payment.failed",
                "ignored" => "payment.status_updated",
                _ => "unknown",
            },
        });
        if outcome != "invalid_payload" {
            expected["reservation_id"] = json!(id);
            expected["event_id"] = json!("evt_1");
        }
        let in_every_line = ["timestamp", "message", "reason", "duration_ms"];
        let in_lines_of_this_outcome: &[_] = match outcome {
            "success" | "superseded" | "ignored" => &[],
            "retried" | "deferred" => &["reason_code"],
            _ => &["reason_code", "advice"],
        };
        let expected_names: BTreeSet<_> = field_names(&expected)
            .into_iter()
            .chain(in_every_line)
            .chain(in_lines_of_this_outcome.iter().copied())
            .collect();
        assert_eq!(field_names(line), expected_names, "{id}");
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name} of {id}");
        }
        assert!(line["duration_ms"].as_f64().unwrap() >= 0.0, "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
}

/// The tests of the template check each saved query against this list.
#[tokio::test]
async fn the_field_list_for_saved_queries_matches_the_fields_of_the_summary_lines() {
    let app = app(&[("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:1")]).await;
    let context = context_of_version("7", "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Sampled=1");
    let run = app.run_in(event_with_one_record_per_outcome(), context).await.unwrap();
    let listed: BTreeSet<String> = serde_json::from_str(include_str!("../template/log_fields.json")).unwrap();
    let logged: BTreeSet<_> = run.log.iter().flat_map(field_names).map(str::to_owned).collect();
    assert_eq!(listed, logged);
}

#[tokio::test]
async fn the_reason_describes_what_happened() {
    let run = run_one_record_per_outcome(&app(&[]).await).await;
    for (id, reason) in [
        ("done", "the status and the seats agree"),
        ("superseded", "the reservation is CONFIRMED"),
        ("ignored", "a payment status that needs no work"),
        ("retried", "reservation API: 500"),
        ("rejected", "paid but expired: refund due"),
        ("incomplete", "detail.reservation_id: is missing"),
        ("not-json", "body: is not a JSON object"),
        ("blocked", "an earlier record of its message group will be delivered again"),
    ] {
        assert_eq!(run.reason(id), reason);
    }
}

#[tokio::test]
async fn each_line_is_one_json_object_with_timestamp_level_and_message() {
    let run = run_one_record_per_outcome(&app(&[("LOG_LEVEL", "debug")]).await).await;

    assert!(run.text.ends_with("}\n"));
    let lines: Vec<_> = run.text.lines().collect();
    assert!(lines.len() > one_record_per_outcome().len(), "{lines:#?}");
    for (line, object) in lines.into_iter().zip(&run.log) {
        assert!(line.starts_with(r#"{"timestamp":""#), "{line}");
        assert!(object.is_object(), "{line}");
        assert_rfc_3339(object["timestamp"].as_str().unwrap());
        assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&object["level"].as_str().unwrap()), "{line}");
        assert!(!object["message"].as_str().unwrap().is_empty(), "{line}");
        for name in field_names(object) {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name} in {line}");
        }
    }
}

/// Checks that this is an RFC 3339 timestamp in UTC with 3 to 9 fractional digits.
pub fn assert_rfc_3339(timestamp: &str) {
    let (time, fraction) = timestamp.strip_suffix('Z').unwrap().split_once('.').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00", "{timestamp}");
    assert!((3..=9).contains(&fraction.len()), "{timestamp}");
    assert!(fraction.bytes().all(|byte| byte.is_ascii_digit()), "{timestamp}");
}

#[tokio::test]
async fn the_timestamp_is_the_current_time() {
    let seconds_of_day = || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        now % 86_400
    };
    let app = app(&[]).await;
    let before = seconds_of_day();
    let run = run_one_record_per_outcome(&app).await;
    let timestamp = run.log[0]["timestamp"].as_str().unwrap();
    let part = |at: usize| timestamp[at..at + 2].parse::<u64>().unwrap();
    let logged = part(11) * 3_600 + part(14) * 60 + part(17);
    let elapsed = (logged + 86_400 - before) % 86_400; // correct across midnight
    assert!(elapsed <= 60, "{timestamp}");
}

#[tokio::test]
async fn each_duplicate_in_a_batch_has_its_own_line() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.hold("r2");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r2", Effect::http(422)));
    let records = [("a", "r1"), ("b", "r1"), ("d", "r2"), ("c", "r1"), ("e", "r2")];
    let run = app.run(sqs(records.map(|(message_id, id)| (message_id, expired(id))))).await;

    assert_eq!(run.log.len(), 5, "{}", run.text);
    for id in ["a", "b", "c"] {
        assert_eq!(run.outcome(id), "success");
    }
    assert_eq!(run.reason("a"), "the status and the seats agree");
    for id in ["b", "c"] {
        assert_eq!(run.reason(id), "an earlier record of the batch describes the same work, which is done");
    }
    for id in ["d", "e"] {
        assert_eq!(run.outcome(id), "failed");
        assert_eq!(run.reason(id), "reservation API: 422");
    }
}

#[tokio::test]
async fn every_deferred_record_has_a_line() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (0..20).map(|number| format!("m{number}")).collect();
    app.hold("m0");
    app.services.fault(Fault::on(Operation::UpdateStatus, "m0", Effect::http(500)));
    let run = app.run(fifo(ids.iter().map(|id| (id.as_str(), "group", expired(id))))).await;

    assert_eq!(run.log.len(), ids.len(), "{}", run.text);
    assert_eq!(run.outcome("m0"), "retried");
    for id in &ids[1..] {
        assert_eq!(run.outcome(id), "deferred");
        assert_eq!(run.line(id)["reservation_id"], *id);
    }
}

#[tokio::test]
async fn started_and_waiting_records_have_a_line_when_the_deadline_cuts_them_off() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "1"), ("DEADLINE_RESERVE_MS", "2000")]).await;
    app.hold("hangs");
    app.hold("waits");
    app.services.fault(Fault::on(Operation::UpdateStatus, "hangs", Effect::Hang));
    let records = [
        ("hangs", expired("hangs")),
        ("waits", expired("waits")),
        ("same", expired("hangs")),
        ("bad", json!("no JSON")),
    ];
    let run = app.run_within(sqs(records), Duration::from_millis(2_400)).await;

    assert_eq!(run.log.len(), 4, "{}", run.text);
    for (id, reason) in [
        ("hangs", "there was no time left to finish it"),
        ("waits", "there was no time left to start it"),
        ("same", "there was no time left to start it"),
        ("bad", "there was no time left to start it"),
    ] {
        assert_eq!(run.outcome(id), "deferred");
        assert_eq!(run.reason(id), reason, "{id}");
        assert_eq!(run.line(id)["level"], "WARN");
    }
}

#[tokio::test]
async fn duration_ms_is_the_duration_of_the_record_in_milliseconds() {
    let app = TestApp::new().await;
    app.hold("slow");
    app.hold("fast");
    app.services.fault(Fault::on(Operation::UpdateStatus, "slow", Effect::latency(250)));
    let run = app.run(sqs([("slow", expired("slow")), ("fast", expired("fast"))])).await;

    let duration = |id| run.line(id)["duration_ms"].as_f64().unwrap();
    assert!((250.0..5_000.0).contains(&duration("slow")), "{}", duration("slow"));
    assert!((0.01..250.0).contains(&duration("fast")), "{}", duration("fast"));
}

#[tokio::test]
async fn a_record_retried_within_the_invocation_has_one_line_with_its_last_error() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(500)).times(1));
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Reset).times(1));
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(502)).times(1));
    let run = app.run(json!({ "Records": [record("m1", expired("r1"))] })).await;

    assert_eq!(app.services.calls().len(), 3);
    assert_eq!(run.log.len(), 1, "{}", run.text);
    assert_eq!(run.reason("m1"), "reservation API: 502");
}

#[tokio::test]
async fn the_attempt_is_the_receive_count_or_1_if_the_count_is_missing_or_invalid() {
    let counts = [
        (json!("1"), 1),
        (json!("2"), 2),
        (json!("1000"), 1_000),
        (json!(""), 1),
        (json!("many"), 1),
        (json!("-1"), 1),
        (Value::Null, 1),
    ];
    let app = TestApp::new().await;
    for (count, attempt) in counts {
        let mut record = record("m1", json!("{}"));
        let attributes = record["attributes"].as_object_mut().unwrap();
        match count.is_null() {
            true => drop(attributes.remove("ApproximateReceiveCount")),
            false => drop(attributes.insert("ApproximateReceiveCount".to_owned(), count.clone())),
        }
        let run = app.run(json!({ "Records": [record] })).await;
        assert_eq!(run.line("m1")["attempt"], attempt, "{count}");
    }
}

#[tokio::test]
async fn unknown_facts_are_absent_from_the_summary_line() {
    let app = TestApp::new().await;
    app.hold("r1");
    let body = json!({ "type": "payment.failed", "reservation_id": "r1" });
    let run = app.run(json!({ "Records": [record("m1", body)] })).await;

    let expected = [
        "timestamp",
        "level",
        "message",
        "request_id",
        "version",
        "cold_start",
        "message_id",
        "attempt",
        "event_type",
        "reservation_id",
        "outcome",
        "reason",
        "duration_ms",
    ];
    assert_eq!(field_names(run.line("m1")), expected.into());
}

#[tokio::test]
async fn aliases_and_simulator_statuses_are_logged_as_their_event_type() {
    let simulator = |status: &str| {
        let mut body = pending("r1");
        body["detail"]["status"] = json!(status);
        body
    };
    let mut alias = expired("r1");
    alias["detail-type"] = json!("reservation.hold.expired");
    let app = TestApp::new().await;
    for (body, event_type) in [
        (alias, "reservation.expired"),
        (simulator("PAYMENT_STATUS_COMPLETED"), "payment.approved"),
        (simulator("PAYMENT_STATUS_APPROVED"), "payment.approved"),
        (simulator("PAYMENT_STATUS_FAILED"), "payment.failed"),
        (simulator("PAYMENT_STATUS_CANCELLED"), "payment.failed"),
        (simulator("PAYMENT_STATUS_EXPIRED"), "payment.failed"),
        (simulator("PAYMENT_STATUS_REFUNDED"), "payment.status_updated"),
        (simulator("PAYMENT_STATUS_UNKNOWN"), "payment.status_updated"),
        (json!({ "type": "reservation.updated" }), "unknown"),
    ] {
        let run = app.run(json!({ "Records": [record("m1", body.clone())] })).await;
        assert_eq!(run.line("m1")["event_type"], event_type, "{body}");
    }
}
