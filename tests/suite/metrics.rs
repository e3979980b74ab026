//! Contract section 8, metrics: the data that CloudWatch receives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker::telemetry::metrics::Metric;
use reservation_worker_local::cloudwatch::Datum;
use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::{Value, json};
use sqs_batch::ClockReading;
use strum::VariantArray;

pub use crate::sent::Sent;
use crate::test_app::{TestApp, approved, context_of_version, expired, failed, sqs};

mod dead_letters;
mod delivery;
mod emf;
mod lateness;
mod totals;
mod values;

/// The contract's table of metrics, with the sums over all event types and with the dead letters.
const TABLE: [(&str, &[&[&str]], &str); 15] = [
    ("worker_events_total", &[&["type", "outcome"], &["outcome"], &["function_version", "outcome"]], "Count"),
    ("worker_latency_seconds", &[&["type"], &[]], "Seconds"),
    ("worker_processing_duration_seconds", &[&["handler", "outcome"]], "Seconds"),
    ("worker_downstream_seconds", &[&["service", "outcome"]], "Seconds"),
    ("worker_active_count", &[&[]], "Count"),
    ("worker_event_age_seconds", &[&["type"], &[]], "Seconds"),
    ("worker_event_lateness_seconds", &[&["type"], &[]], "Seconds"),
    ("worker_batch_size", &[&[]], "Count"),
    ("worker_cold_start", &[&[]], "Count"),
    ("worker_visibility_errors_total", &[&[]], "Count"),
    ("worker_breaker_open", &[&["service"]], "Count"),
    ("worker_in_time_total", &[&[]], "Count"),
    ("worker_returned_total", &[&["reason"]], "Count"),
    ("worker_dead_letters_total", &[&["type", "reason"], &[]], "Count"),
    ("worker_heartbeat", &[&[]], "Count"),
];

type Row = (String, BTreeSet<String>, String);

fn table() -> BTreeSet<Row> {
    let row = |name: &str, set: &[&str], unit: &str| {
        (name.to_owned(), set.iter().map(ToString::to_string).collect(), unit.to_owned())
    };
    let rows = TABLE.iter().flat_map(|(name, sets, unit)| sets.iter().map(move |set| row(name, set, unit)));
    rows.collect()
}

impl Sent {
    /// The sum of a metric for each combination of values of exactly these dimensions. A key contains the values in
    /// the order of `dimensions`.
    pub fn sums(&self, name: &str, dimensions: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let mut sums = BTreeMap::new();
        for datum in self.0.iter().filter(|datum| datum.name == name) {
            let labels: Option<Vec<_>> =
                dimensions.iter().map(|name| datum.dimensions.get(*name).cloned()).collect();
            let Some(labels) = labels.filter(|labels| labels.len() == datum.dimensions.len()) else {
                continue;
            };
            let sum: f64 = datum.values.iter().map(|(value, count)| value * count).sum();
            *sums.entry(labels).or_default() += sum;
        }
        sums
    }
}

/// Sends the recorded metrics and returns what CloudWatch received.
pub async fn sent(app: &TestApp) -> Sent {
    app.shutdown().await;
    Sent::of(app.services.cloudwatch().take())
}

pub fn labels<const N: usize>(labels: [&str; N]) -> Vec<String> {
    labels.map(str::to_owned).into()
}

pub fn receive_count(event: &mut Value, count: u32) {
    for record in event["Records"].as_array_mut().unwrap() {
        record["attributes"]["ApproximateReceiveCount"] = json!(count.to_string());
    }
}

/// Sets when each record was sent to the queue, in seconds before now.
pub fn sent_ago(event: &mut Value, seconds: &[u64]) {
    for (record, seconds) in event["Records"].as_array_mut().unwrap().iter_mut().zip(seconds) {
        let sent = SystemTime::now() - Duration::from_secs(*seconds);
        let ms = sent.duration_since(UNIX_EPOCH).unwrap().as_millis();
        record["attributes"]["SentTimestamp"] = json!(ms.to_string());
    }
}

#[test]
fn the_catalogue_matches_the_contracts_table() {
    let rows = Metric::VARIANTS.iter().map(|metric| {
        let sets = metric.dimension_sets().iter();
        let sets = sets.map(|set| set.iter().map(|dimension| dimension.name()).collect::<Vec<_>>());
        (metric.name(), sets.collect::<Vec<_>>())
    });
    let table = TABLE.map(|(name, sets, _)| (name, sets.iter().map(|set| set.to_vec()).collect()));
    assert_eq!(rows.collect::<Vec<_>>(), table);
}

#[tokio::test]
async fn every_metric_is_sent_with_its_name_dimensions_and_unit() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "3")]).await;
    ["good", "bad"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "bad", Effect::http(503)));
    app.services.visibility().set_behaviour(VisibilityBehaviour::CallFails(403, "AccessDenied"));
    let mut late = expired("good");
    late["time"] = json!("2026-11-14T11:02:50Z");
    let heartbeat = json!({ "type": "worker.heartbeat" });
    let mut event = sqs([("good", late), ("bad", approved("bad")), ("heartbeat", heartbeat)]);
    receive_count(&mut event, 5);
    sent_ago(&mut event, &[1, 1, 1]);
    app.run_in(event, context_of_version("7", "")).await.unwrap();

    let sent = sent(&app).await;

    let names = |datum: &Datum| datum.dimensions.keys().cloned().collect();
    let rows: BTreeSet<Row> =
        sent.0.iter().map(|datum| (datum.name.clone(), names(datum), datum.unit.clone())).collect();
    assert_eq!(rows, table());
    assert!(sent.0.iter().all(|datum| datum.storage_resolution == Some(60)));
}

#[tokio::test]
async fn events_are_counted_by_type_and_outcome_and_by_outcome_only() {
    let app = TestApp::new().await;
    for id in ["done", "also-done", "superseded", "retried", "rejected"] {
        app.hold(id);
    }
    app.services.set_reservation_status("superseded", Status::Confirmed);
    app.services.set_reservation_status("rejected", Status::Expired);
    app.services.fault(Fault::on(Operation::UpdateStatus, "retried", Effect::http(503)));
    let pending = json!({ "detail-type": "Payment Status Updated", "detail": {
        "event_type": "payment.status_updated", "payment_id": "p", "reservation_id": "ignored",
        "status": "PAYMENT_STATUS_PENDING" } });
    let records = [
        ("done", expired("done")),
        ("also-done", expired("also-done")),
        ("superseded", expired("superseded")),
        ("retried", failed("retried")),
        ("rejected", approved("rejected")),
        ("ignored", pending),
        ("incomplete", json!({ "type": "payment.failed" })),
        ("not-json", json!("no JSON")),
    ];
    app.run(sqs(records)).await;

    let sent = sent(&app).await;

    let expected = [
        (["payment.approved", "failed"], 1.0),
        (["payment.failed", "invalid_payload"], 1.0),
        (["payment.failed", "retried"], 1.0),
        (["payment.status_updated", "ignored"], 1.0),
        (["reservation.expired", "success"], 2.0),
        (["reservation.expired", "superseded"], 1.0),
        (["unknown", "invalid_payload"], 1.0),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(values, count)| (labels(values), count)).into();
    assert_eq!(sent.sums("worker_events_total", &["type", "outcome"]), expected);
    let expected = [
        ("failed", 1.0),
        ("ignored", 1.0),
        ("invalid_payload", 2.0),
        ("retried", 1.0),
        ("success", 2.0),
        ("superseded", 1.0),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(outcome, count)| (labels([outcome]), count)).into();
    assert_eq!(sent.sums("worker_events_total", &["outcome"]), expected);
    assert!(sent.0.iter().filter(|datum| datum.name.ends_with("_total")).all(|datum| datum.is_single));
    assert_eq!(sent.count("worker_latency_seconds", &[]), 8.0);
    assert_eq!(sent.count("worker_latency_seconds", &[("type", "reservation.expired")]), 3.0);
    assert_eq!(
        sent.count("worker_processing_duration_seconds", &[("handler", "expired"), ("outcome", "success")]),
        2.0
    );
    let handled: f64 = sent
        .0
        .iter()
        .filter(|datum| datum.name == "worker_processing_duration_seconds")
        .flat_map(|datum| &datum.values)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(handled, 5.0, "invalid and ignored records have no workflow");
}

#[tokio::test]
async fn each_attempt_of_a_call_is_timed_by_service_and_outcome() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    ["r1", "r2", "r3"].into_iter().for_each(|id| app.hold(id));
    app.services.set_reservation_status("r2", Status::Confirmed);
    app.services.fault(Fault::on(Operation::UpdateStatus, "r1", Effect::http(503)).times(2));
    app.services.fault(Fault::on(Operation::ReleaseHold, "r1", Effect::latency(120)));
    app.services.fault(Fault::on(Operation::UpdateStatus, "r3", Effect::http(422)));
    app.run(sqs(["r1", "r2", "r3"].map(|id| (id, expired(id))))).await;

    let sent = sent(&app).await;

    let attempts = |service, outcome| {
        sent.count("worker_downstream_seconds", &[("service", service), ("outcome", outcome)])
    };
    assert_eq!(attempts("reservation-api", "unavailable"), 2.0);
    assert_eq!(attempts("reservation-api", "success"), 1.0);
    assert_eq!(attempts("reservation-api", "conflict"), 1.0);
    assert_eq!(attempts("reservation-api", "rejected"), 1.0);
    let released =
        sent.values("worker_downstream_seconds", &[("service", "inventory"), ("outcome", "success")]);
    assert!(matches!(released[..], [(seconds, 1.0)] if (0.12..10.0).contains(&seconds)), "{released:?}");
}

#[tokio::test]
async fn a_conflict_is_recognised_by_its_status_or_its_code() {
    let app = TestApp::new().await;
    ["r1", "r2"].into_iter().for_each(|id| app.hold(id));
    let confirmed = Effect::http_code(410, "RESERVATION_ALREADY_CONFIRMED");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r1", confirmed));
    app.services.fault(Fault::on(Operation::UpdateStatus, "r2", Effect::http_code(409, "OTHER")).times(1));
    app.run(sqs(["r1", "r2"].map(|id| (id, expired(id))))).await;
    let conflicts = [("service", "reservation-api"), ("outcome", "conflict")];
    assert_eq!(sent(&app).await.count("worker_downstream_seconds", &conflicts), 2.0);
}

#[tokio::test]
async fn the_event_age_is_the_time_from_sending_to_the_outcome_and_absent_without_a_valid_timestamp() {
    let now = SystemTime::now();
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
    let hour = Duration::from_secs(3_600);
    let cases = [
        (json!(ms(now - hour)), Some(3_600.0..3_700.0)),
        (json!(ms(now + hour)), Some(0.0..0.001)),
        (json!("soon"), None),
        (Value::Null, None),
    ];
    for (sent_at, expected) in cases {
        let app = TestApp::new().await;
        let mut event = sqs([("m", json!("no JSON"))]);
        event["Records"][0]["attributes"]["SentTimestamp"] = sent_at.clone();
        if sent_at.is_null() {
            event["Records"][0]["attributes"].as_object_mut().unwrap().remove("SentTimestamp");
        }
        app.run(event).await;
        let sent = sent(&app).await;
        for dimensions in [&[][..], &[("type", "unknown")]] {
            let ages = sent.values("worker_event_age_seconds", dimensions);
            match &expected {
                None => assert_eq!(ages, [], "{sent_at}"),
                Some(range) => assert!(matches!(&ages[..], [(age, 1.0)] if range.contains(age)), "{ages:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_invocation_reports_its_batch_size_peak_concurrency_and_cold_start() {
    let app = TestApp::with(&[("WORKER_CONCURRENCY", "3")]).await;
    let ids: Vec<_> = (0..7).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    for ids in [&ids[..5], &ids[5..]] {
        app.run(sqs(ids.iter().map(|id| (id.as_str(), expired(id))))).await;
    }
    let sent = sent(&app).await;
    assert_eq!(sent.values("worker_batch_size", &[]), [(2.0, 1.0), (5.0, 1.0)]);
    assert_eq!(sent.values("worker_active_count", &[]), [(2.0, 1.0), (3.0, 1.0)]);
    assert_eq!(sent.values("worker_cold_start", &[]), [(1.0, 1.0)]);

    app.run(sqs([("r0", expired("r0"))])).await;
    assert_eq!(self::sent(&app).await.values("worker_cold_start", &[]), []);
}

#[tokio::test]
async fn records_that_were_not_processed_have_no_latency() {
    let app = TestApp::new().await;
    app.hold("a");
    app.services.fault(Fault::on(Operation::UpdateStatus, "a", Effect::http(500)));
    let event =
        crate::test_app::fifo([("a", "g", expired("a")), ("b", "g", expired("b")), ("c", "g", expired("c"))]);
    app.run(event).await;
    let sent = sent(&app).await;
    assert_eq!(sent.sum("worker_events_total", &[("outcome", "deferred")]), 2.0);
    assert_eq!(sent.count("worker_latency_seconds", &[]), 1.0);
}

#[tokio::test]
async fn worker_breaker_open_is_1_while_calls_wait_and_absent_while_the_breaker_is_closed() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", "60000")]).await;
    let pay = async |id: &str| {
        app.hold(id);
        app.run_within(sqs([(id, approved(id))]), Duration::from_millis(1_500)).await;
        sent(&app).await.values("worker_breaker_open", &[("service", "inventory")])
    };
    assert_eq!(pay("r0").await, []);
    app.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    assert_eq!(pay("r1").await, [(1.0, 1.0)], "the breaker opens");
    for id in ["r2", "r3"] {
        assert_eq!(pay(id).await, [(1.0, 1.0)], "the call is rejected");
    }
}

#[tokio::test]
async fn failed_changes_of_visibility_time_outs_are_counted() {
    let poison = || sqs([("m1", json!("poison")), ("m2", json!("poison"))]);
    let cases = [
        (VisibilityBehaviour::EntryFails(String::new(), "ReceiptHandleIsInvalid"), 2.0),
        (VisibilityBehaviour::CallFails(403, "AccessDenied"), 2.0),
    ];
    for (answer, errors) in cases {
        let app = TestApp::new().await;
        app.services.visibility().set_behaviour(answer);
        app.run(poison()).await;
        assert_eq!(sent(&app).await.sum("worker_visibility_errors_total", &[]), errors);
    }
    let app = TestApp::new().await;
    let mut without_queue = poison();
    without_queue["Records"][0]["eventSourceARN"] = json!("not an arn");
    app.run(without_queue).await;
    assert_eq!(sent(&app).await.sum("worker_visibility_errors_total", &[]), 2.0);
}

#[tokio::test]
async fn values_recorded_in_another_minute_keep_their_timestamp() {
    let app = TestApp::new().await;
    let now = SystemTime::now();
    for minutes in [30, 20, 20, 10] {
        app.metrics().invocation_begun(false, None, now - Duration::from_secs(60 * minutes as u64));
        app.metrics().batch_begun(minutes);
    }
    let sent = sent(&app).await;
    let batches = sent.data("worker_batch_size", &[]);
    let minutes_ago = |datum: &Datum| now.duration_since(datum.timestamp).unwrap().as_secs_f64() / 60.0;
    let batches: Vec<_> =
        batches.into_iter().map(|datum| (minutes_ago(datum).round(), datum.values.clone())).collect();
    assert_eq!(batches, [(30.0, vec![(30.0, 1.0)]), (20.0, vec![(20.0, 2.0)]), (10.0, vec![(10.0, 1.0)])]);
}

#[tokio::test]
async fn the_namespace_is_configurable() {
    let app = TestApp::with(&[("METRICS_NAMESPACE", "Other/Worker")]).await;
    app.run(sqs([])).await;
    app.after_response(ClockReading::now()).await;
    assert_eq!(app.services.cloudwatch().take()[0].namespace, "Other/Worker");
}
