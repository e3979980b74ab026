//! Contract section 8, logs: one JSON object a line, one summary line a record.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::{Value, json};

use crate::test_app::{BatchRun, TestApp, approved, context_of_version, expired, failed, fifo, record, sqs};

mod levels;
mod secrecy;
mod traces;

/// One record for each way to end: its message id, which is its reservation and its message group too,
/// its outcome, the level of its line, its body.
fn one_of_each() -> [(&'static str, &'static str, &'static str, Value); 8] {
    [
        ("done", "success", "INFO", expired("done")),
        ("lost", "superseded", "INFO", expired("lost")),
        ("idle", "ignored", "INFO", pending("idle")),
        ("busy", "retried", "WARN", approved("busy")),
        ("late", "failed", "ERROR", approved("late")),
        ("wrong", "invalid_payload", "ERROR", without_reservation()),
        ("what", "invalid_payload", "ERROR", json!("no JSON")),
        // In the message group of one that is returned.
        ("next", "deferred", "WARN", failed("next")),
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

/// A test app where [`one_of_each`] ends as it should.
async fn app(variables: &[(&str, &str)]) -> TestApp {
    // So that none of the eight receives is the last.
    let app = TestApp::with(&[&[("MAX_RETRIES", "9")], variables].concat()).await;
    for id in ["done", "lost", "idle", "busy", "late", "next"] {
        app.hold(id);
    }
    app.services.set_reservation_status("lost", Status::Confirmed);
    app.services.set_reservation_status("late", Status::Expired);
    app.services.fault(Fault::on(Operation::UpdateStatus, "busy", Effect::http(503)));
    app
}

/// Runs [`one_of_each`].
async fn run_one_of_each(app: &TestApp) -> BatchRun {
    app.run(event_of_each()).await
}

/// The second record for the second time, and so on.
fn event_of_each() -> Value {
    let mut event = fifo(one_of_each().map(|(id, _, _, body)| (id, id, body)));
    for (number, record) in event["Records"].as_array_mut().unwrap().iter_mut().enumerate() {
        record["attributes"]["ApproximateReceiveCount"] = json!((number + 1).to_string());
        let traceparent = format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
        record["messageAttributes"]["traceparent"] =
            json!({ "stringValue": traceparent, "dataType": "String" });
        if record["messageId"] == "next" {
            record["attributes"]["MessageGroupId"] = json!("late");
        }
    }
    event
}

fn names(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn each_record_has_one_line_and_it_says_all() {
    let ran = run_one_of_each(&app(&[]).await).await;

    let all = one_of_each();
    assert_eq!(ran.log.len(), all.len(), "{}", ran.text);
    for (number, (id, outcome, level, _)) in all.into_iter().enumerate() {
        let line = ran.line(id);
        let mut expected = json!({
            "level": level,
            "outcome": outcome,
            "message_id": id,
            "attempt": number + 1,
            "trace_id": format!("{:032x}", number + 1),
            "request_id": "request-1",
            "cold_start": true,
            "event_type": match id {
                "done" | "lost" => "reservation.expired",
                "busy" | "late" => "payment.approved",
                "next" | "wrong" => "payment.failed",
                "idle" => "payment.status_updated",
                _ => "unknown",
            },
        });
        if outcome != "invalid_payload" {
            expected["reservation_id"] = json!(id);
            expected["event_id"] = json!("evt_1");
        }
        let said = ["timestamp", "message", "reason", "duration_ms"];
        let said_of_it: &[_] = match outcome {
            "success" | "superseded" | "ignored" => &[],
            "retried" | "deferred" => &["reason_code"],
            _ => &["reason_code", "advice"],
        };
        let expected_names: BTreeSet<_> =
            names(&expected).into_iter().chain(said).chain(said_of_it.iter().copied()).collect();
        assert_eq!(names(line), expected_names, "{id}");
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name} of {id}");
        }
        assert!(line["duration_ms"].as_f64().unwrap() >= 0.0, "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
}

/// The template's own tests hold every saved query to this list.
#[tokio::test]
async fn saved_queries_are_held_to_the_fields_that_records_lines_have() {
    let app = app(&[("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:1")]).await;
    let context = context_of_version("7", "Root=1-6af84039-c2029f7c3ddb565ad52f1ac6;Sampled=1");
    let ran = app.run_in(event_of_each(), context).await.unwrap();
    let listed: BTreeSet<String> = serde_json::from_str(include_str!("../template/log_fields.json")).unwrap();
    let has: BTreeSet<_> = ran.log.iter().flat_map(names).map(str::to_owned).collect();
    assert_eq!(listed, has);
}

#[tokio::test]
async fn the_reason_says_what_happened() {
    let ran = run_one_of_each(&app(&[]).await).await;
    for (id, reason) in [
        ("done", "status and seats agree"),
        ("lost", "the reservation is CONFIRMED"),
        ("idle", "a payment status that needs no work"),
        ("busy", "reservation API: 503"),
        ("late", "paid but expired: refund due"),
        ("wrong", "detail.reservation_id: is missing"),
        ("what", "body: is not a JSON object"),
        ("next", "an earlier record of its message group was returned"),
    ] {
        assert_eq!(ran.reason(id), reason);
    }
}

#[tokio::test]
async fn a_line_is_one_json_object_with_timestamp_level_and_message_first() {
    let ran = run_one_of_each(&app(&[("LOG_LEVEL", "debug")]).await).await;

    assert!(ran.text.ends_with("}\n"));
    let lines: Vec<_> = ran.text.lines().collect();
    assert!(lines.len() > one_of_each().len(), "{lines:#?}");
    for (line, object) in lines.into_iter().zip(&ran.log) {
        assert!(line.starts_with(r#"{"timestamp":""#), "{line}");
        assert!(object.is_object(), "{line}");
        assert_rfc_3339(object["timestamp"].as_str().unwrap());
        assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&object["level"].as_str().unwrap()), "{line}");
        assert!(!object["message"].as_str().unwrap().is_empty(), "{line}");
        for name in names(object) {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name} in {line}");
        }
    }
}

/// Digits where they belong, in UTC.
pub fn assert_rfc_3339(timestamp: &str) {
    let (time, fraction) = timestamp.strip_suffix('Z').unwrap().split_once('.').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00", "{timestamp}");
    assert!((3..=9).contains(&fraction.len()), "{timestamp}");
    assert!(fraction.bytes().all(|byte| byte.is_ascii_digit()), "{timestamp}");
}

#[tokio::test]
async fn the_time_in_the_log_is_now() {
    let seconds_of_day = || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        now % 86_400
    };
    let app = app(&[]).await;
    let before = seconds_of_day();
    let ran = run_one_of_each(&app).await;
    let timestamp = ran.log[0]["timestamp"].as_str().unwrap();
    let part = |at: usize| timestamp[at..at + 2].parse::<u64>().unwrap();
    let logged = part(11) * 3_600 + part(14) * 60 + part(17);
    let elapsed = (logged + 86_400 - before) % 86_400; // across midnight too
    assert!(elapsed <= 60, "{timestamp}");
}

#[tokio::test]
async fn duplicates_in_a_batch_have_a_line_each() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.hold("r2");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r2", Effect::http(422)));
    let records = [("a", "r1"), ("b", "r1"), ("d", "r2"), ("c", "r1"), ("e", "r2")];
    let ran = app.run(sqs(records.map(|(message_id, id)| (message_id, expired(id))))).await;

    assert_eq!(ran.log.len(), 5, "{}", ran.text);
    for id in ["a", "b", "c"] {
        assert_eq!(ran.outcome(id), "success");
    }
    for id in ["d", "e"] {
        assert_eq!(ran.outcome(id), "failed");
        assert_eq!(ran.reason(id), "reservation API: 422");
    }
}

#[tokio::test]
async fn every_deferred_record_has_a_line() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (0..20).map(|number| format!("m{number}")).collect();
    let bodies =
        ids.iter().map(|id| (id.as_str(), "group", if id == "m0" { json!("") } else { expired(id) }));
    let ran = app.run(fifo(bodies)).await;

    assert_eq!(ran.log.len(), ids.len(), "{}", ran.text);
    assert_eq!(ran.outcome("m0"), "invalid_payload");
    for id in &ids[1..] {
        assert_eq!(ran.outcome(id), "deferred");
        assert_eq!(ran.line(id)["reservation_id"], *id);
    }
}

#[tokio::test]
async fn a_record_that_the_deadline_cut_off_has_a_line_whether_it_was_started_or_not() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "1"), ("DEADLINE_RESERVE_MS", "100")]).await;
    app.hold("hangs");
    app.hold("waits");
    app.services.fault(Fault::on(Operation::UpdateStatus, "hangs", Effect::Hang));
    let records = [
        ("hangs", expired("hangs")),
        ("waits", expired("waits")),
        ("same", expired("hangs")),
        ("bad", json!("no JSON")),
    ];
    let ran = app.run_within(sqs(records), Duration::from_millis(500)).await;

    assert_eq!(ran.log.len(), 4, "{}", ran.text);
    for (id, reason) in [
        ("hangs", "no time left to finish it"),
        ("waits", "no time left to start it"),
        ("same", "no time left to start it"),
        ("bad", "no time left to start it"),
    ] {
        assert_eq!(ran.outcome(id), "deferred");
        assert_eq!(ran.reason(id), reason, "{id}");
        assert_eq!(ran.line(id)["level"], "WARN");
    }
}

#[tokio::test]
async fn the_duration_is_that_of_the_record_in_milliseconds() {
    let app = TestApp::new().await;
    app.hold("slow");
    app.hold("fast");
    app.services.fault(Fault::on(Operation::UpdateStatus, "slow", Effect::latency(250)));
    let ran = app.run(sqs([("slow", expired("slow")), ("fast", expired("fast"))])).await;

    let duration = |id| ran.line(id)["duration_ms"].as_f64().unwrap();
    assert!((250.0..5_000.0).contains(&duration("slow")), "{}", duration("slow"));
    assert!((0.01..250.0).contains(&duration("fast")), "{}", duration("fast"));
}

#[tokio::test]
async fn a_record_that_was_retried_within_the_invocation_has_one_line_with_its_last_fault() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(500)).times(1));
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Reset).times(1));
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(502)).times(1));
    let ran = app.run(json!({ "Records": [record("m1", expired("r1"))] })).await;

    assert_eq!(app.services.calls().len(), 3);
    assert_eq!(ran.log.len(), 1, "{}", ran.text);
    assert_eq!(ran.reason("m1"), "reservation API: 502");
}

#[tokio::test]
async fn the_attempt_is_the_receive_count_and_1_where_the_queue_does_not_say() {
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
        let ran = app.run(json!({ "Records": [record] })).await;
        assert_eq!(ran.line("m1")["attempt"], attempt, "{count}");
    }
}

#[tokio::test]
async fn what_a_record_does_not_know_is_absent() {
    let app = TestApp::new().await;
    app.hold("r1");
    let body = json!({ "type": "payment.failed", "reservation_id": "r1" });
    let ran = app.run(json!({ "Records": [record("m1", body)] })).await;

    let known = [
        "timestamp",
        "level",
        "message",
        "request_id",
        "cold_start",
        "message_id",
        "attempt",
        "event_type",
        "reservation_id",
        "outcome",
        "reason",
        "duration_ms",
    ];
    assert_eq!(names(ran.line("m1")), known.into());
}

#[tokio::test]
async fn aliases_and_simulator_statuses_are_logged_as_the_type_they_mean() {
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
        (json!({ "type": "reservation.created" }), "unknown"),
    ] {
        let ran = app.run(json!({ "Records": [record("m1", body.clone())] })).await;
        assert_eq!(ran.line("m1")["event_type"], event_type, "{body}");
    }
}
