//! `--what-if`: the predictions, and that nothing is changed while they are made.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use reservation_worker::reason::Reason;
use reservation_worker_local::event_source::Mapping;
use reservation_worker_local::{Effect, Fault, Operation, Status, cargo};
use serde_json::{Value, json};
use strum::VariantArray;

use crate::fixture::{Fixture, approved, expired, failed, root};
use crate::interrupted::{ended, interrupt, start};

/// A kind of letters: how they came to be dead, and what has changed since.
struct Case {
    name: &'static str,
    body: fn(&str) -> String,
    /// The recorded reason.
    reason: Option<Reason>,
    status: Status,
    /// The faults that the services still have.
    faults: Vec<(Operation, Effect)>,
    prediction: &'static str,
    /// The outcome and the reason code of the worker, if the prediction determines them.
    outcome: Option<(&'static str, Option<Reason>)>,
}

fn bare(id: &str) -> String {
    json!({ "type": "payment.failed", "reservation_id": id }).to_string()
}

fn no_work(id: &str) -> String {
    json!({ "type": "reservation.created", "detail": { "reservation_id": id } }).to_string()
}

fn nonsense(id: &str) -> String {
    format!("{id} is no JSON")
}

const PATCH: Operation = Operation::UpdateStatus;
const GET: Operation = Operation::ReadReservation;
const RELEASE: Operation = Operation::ReleaseHold;
const COMMIT: Operation = Operation::CommitReservation;
const CHECK: Operation = Operation::CheckAvailability;

fn rest(effect: &Effect) -> Vec<(Operation, Effect)> {
    vec![(PATCH, effect.clone()), (GET, effect.clone())]
}

fn cases() -> Vec<Case> {
    use Reason::*;
    let hold = Status::Hold;
    let case = |name, body, reason, status, prediction, outcome| Case {
        name,
        body,
        reason,
        status,
        faults: Vec::new(),
        prediction,
        outcome,
    };
    let success = Some(("success", None));
    let superseded = Some(("superseded", None));
    let fails = |reason| Some(("failed", Some(reason)));
    let retried = |reason| Some(("retried", Some(reason)));
    let mut cases = vec![
        case(
            "expiry_of_paid",
            expired,
            Some(InventoryUnavailable),
            Status::Confirmed,
            "would be superseded",
            superseded,
        ),
        case(
            "refund_expired",
            approved,
            Some(PaidButExpired),
            Status::Expired,
            "refund due",
            fails(PaidButExpired),
        ),
        case(
            "refund_cancelled",
            approved,
            Some(PaidButCancelled),
            Status::Cancelled,
            "refund due",
            fails(PaidButCancelled),
        ),
        case(
            "failed_confirmed",
            failed,
            Some(FailedPaymentOfConfirmed),
            Status::Confirmed,
            "would fail",
            fails(FailedPaymentOfConfirmed),
        ),
        case(
            "failed_fixed",
            failed,
            Some(FailedPaymentOfConfirmed),
            Status::Cancelled,
            "would succeed",
            success,
        ),
        case(
            "unreadable",
            nonsense,
            Some(InvalidPayload),
            hold,
            "would fail",
            Some(("invalid_payload", Some(InvalidPayload))),
        ),
        case("facts_added", bare, Some(FactsMissing), Status::Cancelled, "would succeed", success),
        case("no_work", no_work, Some(Panicked), hold, "would succeed", Some(("ignored", None))),
        case("panicked", expired, Some(Panicked), hold, "cannot tell", None),
        case("not_seen", approved, Some(PaymentNotSeen), hold, "cannot tell", None),
        case("conflict", expired, Some(ReservationConflict), hold, "cannot tell", None),
        case("api_rejected", expired, Some(ReservationApiRejected), hold, "cannot tell", None),
        case("commit_rejected", approved, Some(CommitRejected), Status::Confirmed, "cannot tell", None),
        case("release_rejected", expired, Some(ReleaseRejected), Status::Expired, "cannot tell", None),
        case("unknown_approved", approved, None, hold, "cannot tell", None),
        case("unknown_expired", expired, None, hold, "cannot tell", None),
        case("unknown_released", expired, None, Status::Expired, "cannot tell", None),
        case("unknown_confirmed", expired, None, Status::Confirmed, "would be superseded", superseded),
    ];
    for reason in [
        ReservationApiUnavailable,
        ReservationApiError,
        ReservationApiDenied,
        ReservationApiWrongAddress,
        InventoryUnavailable,
        InventoryError,
        InventoryDenied,
        InventoryWrongAddress,
        NoTime,
        GroupBlocked,
    ] {
        cases.push(case(reason.as_str(), approved, Some(reason), hold, "would succeed", success));
    }
    let lasting = [
        ("api_still_unavailable", Effect::http(503), "cannot tell", retried(ReservationApiUnavailable)),
        ("api_still_failing", Effect::http(500), "cannot tell", retried(ReservationApiError)),
        ("api_still_limiting", Effect::http(429), "cannot tell", retried(ReservationApiError)),
        ("api_still_refusing", Effect::http(401), "cannot tell", None),
        (
            "api_without_it",
            Effect::http_code(404, "RESERVATION_NOT_FOUND"),
            "would fail",
            fails(ReservationApiRejected),
        ),
    ];
    let expired_code = || Effect::http_code(410, "RESERVATION_EXPIRED");
    cases.push(Case {
        faults: rest(&expired_code()),
        ..case("refund_by_code", approved, None, hold, "refund due", fails(PaidButExpired))
    });
    cases.push(Case {
        faults: rest(&expired_code()),
        ..case("superseded_by_code", failed, None, hold, "would be superseded", superseded)
    });
    for (name, effect, prediction, outcome) in lasting {
        let recorded = Some(ReservationApiError);
        cases
            .push(Case { faults: rest(&effect), ..case(name, expired, recorded, hold, prediction, outcome) });
    }
    let body =
        |body: &str| Effect::Body { content_type: "application/json".to_owned(), body: body.to_owned() };
    cases.push(Case {
        faults: vec![(GET, body(r#"{"status": "HOLD"}"#)), (PATCH, body("{}"))],
        ..case("facts_still_missing", bare, Some(FactsMissing), hold, "would fail", fails(FactsMissing))
    });
    for (name, reply) in [("status_missing", "{}"), ("status_unknown", r#"{"status": "REFUNDING"}"#)] {
        cases.push(Case {
            faults: vec![(GET, body(reply))],
            ..case(name, expired, Some(InventoryUnavailable), hold, "cannot tell", success)
        });
    }
    cases
}

/// Letters of every case, with the reservations, faults and log lines. Returns the case of each reservation.
async fn letters(fixture: &Fixture, per_case: usize) -> BTreeMap<String, usize> {
    let (mut bodies, mut reservations, mut reasons) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (index, case) in cases().iter().enumerate() {
        for number in 0..per_case {
            let id = format!("{}-{number}", case.name);
            fixture.hold(&id);
            fixture.services.set_reservation_status(&id, case.status);
            for (operation, effect) in &case.faults {
                fixture.services.fault(Fault::on(*operation, &id, effect.clone()));
            }
            bodies.push((case.body)(&id));
            reasons.push(case.reason);
            reservations.insert(id, index);
        }
    }
    let ids = fixture.send_dead_letters(&bodies).await;
    let lines = ids.iter().zip(&reasons).filter_map(|(id, reason)| Some((id.as_str(), (*reason)?.as_str())));
    fixture.log(&lines.collect::<Vec<_>>()).await;
    reservations
}

/// The case of a row or of a log line. The body of an unreadable letter names no reservation.
fn case_of<'a>(cases: &'a [Case], reservations: &BTreeMap<String, usize>, row: &Value) -> &'a Case {
    match row["reservation_id"].as_str() {
        Some(id) => &cases[reservations[id]],
        None => cases.iter().find(|case| case.name == "unreadable").unwrap(),
    }
}

#[tokio::test]
async fn the_prediction_depends_on_the_reason_and_on_what_the_services_say_and_changes_nothing() {
    let fixture = Fixture::new(false).await;
    let reservations = letters(&fixture, 1).await;
    let rows = fixture.run(&["list", "--what-if", "--output", "json"]).await.succeeded().rows();
    let cases = cases();
    assert_eq!(rows.len(), cases.len());
    let wrong: Vec<_> = rows
        .iter()
        .map(|row| (case_of(&cases, &reservations, row), row))
        .filter(|(case, row)| row["what_if"] != case.prediction)
        .map(|(case, row)| format!("{}: {} because {}", case.name, row["what_if"], row["what_if_why"]))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(fixture.changes(), 0, "no PATCH, no release and no commit");
    assert!(fixture.services.calls().iter().any(|call| call.operation == CHECK));
    let succeeding = ["list", "--what-if", "--prediction", "would-succeed", "--output", "json"];
    let selected = fixture.run(&succeeding).await.succeeded().rows();
    assert_eq!(selected.len(), cases.iter().filter(|case| case.prediction == "would succeed").count());
}

#[tokio::test]
async fn a_plan_says_how_many_letters_have_each_prediction_and_how_to_leave_out_those_that_would_fail() {
    let fixture = Fixture::new(false).await;
    let letters: [Dead; 4] = [
        (expired, "inventory_error"),
        (nonsense, "invalid_payload"),
        (nonsense, "invalid_payload"),
        (failed, "panicked"),
    ];
    let bodies: Vec<_> =
        letters.iter().enumerate().map(|(number, (body, _))| body(&format!("r{number}"))).collect();
    (0..4).for_each(|number| fixture.hold(&format!("r{number}")));
    let ids = fixture.send_dead_letters(&bodies).await;
    let lines = ids.iter().zip(&letters).map(|(id, (_, reason))| (id.as_str(), *reason));
    fixture.log(&lines.collect::<Vec<_>>()).await;
    let hint = "To redrive only letters that would succeed, remove plan.json and run `plan` with `--what-if --prediction \
                would-succeed`.\n";
    let plan = async |more: &[&str]| {
        let planned = fixture.run(&[&["plan", "--action", "redrive"], more].concat()).await.succeeded();
        fs::remove_file(fixture.path("plan.json")).unwrap();
        planned.stderr
    };
    let planned = plan(&["--what-if"]).await;
    assert!(planned.contains("Predictions: would succeed 1, would fail 2, cannot tell 1.\n"), "{planned}");
    assert!(planned.contains(hint), "{planned}");
    let planned = plan(&["--what-if", "--prediction", "would-succeed"]).await;
    assert!(planned.contains("Predictions: would succeed 1.\n") && !planned.contains(hint), "{planned}");
    let planned = plan(&[]).await;
    assert!(!planned.contains("Predictions:") && !planned.contains(hint), "{planned}");
}

/// The prediction of an approved payment without a known reason is made while the API fails.
#[tokio::test]
async fn after_an_error_of_the_api_a_payment_for_which_a_refund_may_be_due_needs_permission() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&[approved("r1")]).await;
    fixture.hold("r1");
    fixture.services.set_reservation_status("r1", Status::Expired);
    for (source, effect) in [
        ("", Effect::http(503)),
        ("", Effect::http(500)),
        ("undelivered", Effect::http(429)),
        ("", Effect::http_code(404, "RESERVATION_NOT_FOUND")),
    ] {
        fixture.services.fault(Fault::on(GET, "r1", effect.clone()));
        let command = |arguments: &[&'static str]| {
            let source = Some(source).filter(|source| !source.is_empty());
            source.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>()
        };
        let plan = command(&["plan", "--action", "redrive", "--what-if"]);
        fixture.run(&plan).await.succeeded();
        let refused = fixture.run(&command(&["apply", "plan.json"])).await;
        assert_eq!(refused.code, Some(1), "{source} {effect:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--allow-reason unknown"), "{}", refused.stderr);
        fs::remove_file(fixture.path("plan.json")).unwrap();
        fixture.services.clear_faults();
    }
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (0, (1, 0)));
}

#[tokio::test]
async fn every_reason_code_has_a_case() {
    let cases = cases();
    for reason in Reason::VARIANTS {
        assert!(cases.iter().any(|case| case.reason == Some(*reason)), "{reason:?}");
    }
}

/// All letters are redriven, and a real worker processes them.
#[tokio::test]
async fn what_the_worker_then_does_agrees_with_the_predictions() {
    let fixture = Fixture::new(false).await;
    let per_case = std::env::var("DEAD_LETTERS_PER_CASE").map_or(27, |text| text.parse().unwrap());
    let reservations = letters(&fixture, per_case).await;
    // What a read cannot show.
    for (name, operation, effect) in
        [("commit_rejected", COMMIT, Effect::grpc(9)), ("release_rejected", RELEASE, Effect::grpc(9))]
    {
        (0..per_case).for_each(|number| {
            let id = format!("{name}-{number}");
            fixture.services.fault(Fault::on(operation, &id, effect.clone()));
        });
    }
    fixture.run(&["plan", "--action", "redrive", "--what-if"]).await.succeeded();
    assert_eq!(fixture.changes(), 0);
    let mut apply = vec!["apply", "plan.json", "--rate", "200", "--stop-at", "100000"];
    for reason in ["unknown", "paid_but_expired", "paid_but_cancelled"] {
        apply.extend(["--allow-reason", reason]);
    }
    fixture.run(&apply).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0));

    let function = cargo::function(&root(), &target(), "process").unwrap();
    let mut environment = fixture.environment();
    environment.extend(
        [("MAX_RETRIES", "1"), ("BREAKER_FAILURES", "0"), ("METRICS_SINK", "none")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mapping = Mapping { maximum_concurrency: 4, ..Mapping::new(&fixture.queue, function, environment) };
    let running = mapping.start().await.unwrap();
    let count = reservations.len();
    let summary = |line: &Value| line["outcome"].is_string();
    while running.log_lines().iter().filter(|line| summary(line)).count() < count {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let lines = running.log_lines();
    running.stop().await;
    let cases = cases();
    let mut wrong = Vec::new();
    for line in lines.iter().filter(|line| summary(line)) {
        let case = case_of(&cases, &reservations, line);
        if let Some((outcome, reason)) = case.outcome
            && (line["outcome"] != outcome || line["reason_code"].as_str() != reason.map(Reason::as_str))
        {
            wrong.push(format!("{}: {line}", case.name));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn target() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

#[tokio::test]
async fn no_more_calls_are_made_at_once_than_requested() {
    let fixture = Fixture::new(false).await;
    let ids: Vec<_> = (0..40).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| fixture.hold(id));
    let letters = fixture.send_dead_letters(&ids.iter().map(|id| expired(id)).collect::<Vec<_>>()).await;
    fixture.log(&letters.iter().map(|id| (id.as_str(), "no_time")).collect::<Vec<_>>()).await;
    for operation in [GET, CHECK] {
        fixture.services.fault(Fault::any(operation, Effect::latency(30)));
    }
    fixture.run(&["list", "--what-if", "--concurrency", "3"]).await.succeeded();
    assert_eq!((fixture.services.calls().len(), fixture.services.peak_in_flight()), (80, 3));
}

#[tokio::test]
async fn an_error_of_the_inventory_does_not_predict_that_the_worker_fails() {
    let fixture = Fixture::new(false).await;
    fixture.hold("r1");
    for code in [14, 13, 8] {
        fixture.services.clear_faults();
        fixture.services.fault(Fault::any(CHECK, Effect::grpc(code)));
        let predicted = predictions(&fixture, "r1", &[(expired, "inventory_unavailable")], &[]).await;
        assert_eq!(predicted, ["cannot tell"], "{code}");
    }
}

#[tokio::test]
async fn ctrl_c_does_not_wait_for_a_slow_service() {
    let fixture = Fixture::new(false).await;
    fixture
        .send_dead_letters(&(0..40).map(|number| expired(&format!("r{number}"))).collect::<Vec<_>>())
        .await;
    fixture.services.fault(Fault::any(GET, Effect::latency(60_000)));
    let child = start(fixture.command(&["list", "--what-if"]));
    while fixture.services.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let since = Instant::now();
    interrupt(&child);
    assert_eq!(ended(child).await, Some(130));
    assert!(since.elapsed() < Duration::from_secs(4), "the time-out of a call is 5 s");
    assert_eq!(fixture.dead_depth().await, (40, 0));
}

/// A letter about a reservation: its event, and why it is dead.
type Dead = (fn(&str) -> String, &'static str);

/// The predictions for these letters, in their order. It is empty for a letter that the filter does not select.
async fn predictions(fixture: &Fixture, id: &str, letters: &[Dead], filter: &[&str]) -> Vec<String> {
    let bodies: Vec<_> = letters.iter().map(|(body, _)| body(id)).collect();
    let ids = fixture.send_dead_letters(&bodies).await;
    let lines = ids.iter().zip(letters).map(|(id, (_, reason))| (id.as_str(), *reason));
    fixture.log(&lines.collect::<Vec<_>>()).await;
    let arguments = [&["list", "--what-if", "--output", "json", "--reservation", id], filter].concat();
    let rows = fixture.run(&arguments).await.succeeded().rows();
    let row = |id: &String| rows.iter().find(|row| row["message_id"] == id.as_str());
    let prediction = |row: &Value| row["what_if"].as_str().unwrap().to_owned();
    ids.iter().map(|id| row(id).map(prediction).unwrap_or_default()).collect()
}

#[tokio::test]
async fn the_results_of_letters_that_request_different_endings_of_a_reservation_cannot_be_told() {
    let outage = "inventory_unavailable";
    let cases: [(&[Dead], &[&str], _); 7] = [
        (&[(failed, outage), (expired, outage)], &[], ["cannot tell"; 2]),
        // Whether the payment is accepted now is not known, but the expiry would make a refund due.
        (&[(approved, "payment_not_seen"), (expired, outage)], &[], ["cannot tell"; 2]),
        (&[(expired, outage), (approved, "panicked")], &[], ["cannot tell"; 2]),
        // A filter does not make the payment disappear.
        (&[(approved, outage), (expired, "no_time")], &["--reason", "no_time"], ["", "cannot tell"]),
        (&[(approved, outage), (failed, outage)], &["--type", "payment.failed"], ["", "cannot tell"]),
        // Letters that are not redriven change nothing, so that a payment alone succeeds.
        (&[(expired, outage), (approved, outage)], &["--type", "payment.approved"], ["", "would succeed"]),
        (&[(approved, outage), (approved, "no_time")], &[], ["would succeed"; 2]),
    ];
    for fifo in [false, true] {
        let fixture = Fixture::new(fifo).await;
        for (number, (letters, filter, expected)) in cases.iter().enumerate() {
            let id = format!("r{number}");
            fixture.hold(&id);
            let predicted = predictions(&fixture, &id, letters, filter).await;
            assert_eq!(predicted, *expected, "case {number}, fifo {fifo}");
        }
    }
}

#[tokio::test]
async fn letters_about_a_reservation_that_has_ended_do_not_compete() {
    let fixture = Fixture::new(false).await;
    fixture.hold("r1");
    fixture.services.set_reservation_status("r1", Status::Confirmed);
    let letters: [Dead; 2] = [(approved, "inventory_error"), (expired, "inventory_error")];
    let predicted = predictions(&fixture, "r1", &letters, &[]).await;
    assert_eq!(predicted, ["would succeed", "would be superseded"]);
}
