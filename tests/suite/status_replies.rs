//! Contract section 3: what each reply of the reservation API to a status update means for each event type.

use reservation_worker_local::{Effect, Operation, Status};

use crate::table::{GET, Kind, PATCH, Row, app_with_generous_limits, check_rows, reply};

mod bodies;
mod faults;
mod reads;

/// The final statuses of a reservation, each with the error code that reports it.
const FINAL_STATUSES: [(Status, &str); 3] = [
    (Status::Confirmed, "RESERVATION_ALREADY_CONFIRMED"),
    (Status::Cancelled, "RESERVATION_ALREADY_CANCELLED"),
    (Status::Expired, "RESERVATION_EXPIRED"),
];

/// The outcome and the reason in the first table of the contract. `found` is the status of the reservation.
fn expected_result(kind: Kind, found: Status) -> (&'static str, &'static str) {
    match (kind, found) {
        (Kind::Expired, Status::Confirmed) => ("superseded", "CONFIRMED"),
        (Kind::Expired, Status::Cancelled) => ("superseded", "CANCELLED"),
        (Kind::Expired, Status::Expired) => ("success", ""),
        (Kind::Approved, Status::Confirmed) => ("success", ""),
        (Kind::Approved, Status::Cancelled) => ("failed", "paid but cancelled: refund due"),
        (Kind::Approved, Status::Expired) => ("failed", "paid but expired: refund due"),
        (Kind::Failed, Status::Confirmed) => ("failed", "failed payment of a confirmed reservation"),
        (Kind::Failed, Status::Cancelled) => ("success", ""),
        (Kind::Failed, Status::Expired) => ("superseded", "EXPIRED"),
        (_, Status::Hold) => unreachable!("HOLD is not a final status"),
    }
}

/// One row per event type.
fn each_kind(row: impl Fn(Kind) -> Row) -> impl Iterator<Item = Row> {
    Kind::ALL.into_iter().map(row)
}

/// One row per event type and final status. Each row expects the result in the contract, these calls of the
/// reservation API, and a call of the inventory if the outcome is a success.
fn each_final_status(api_calls: &[Operation], row: impl Fn(Kind, Status, &str) -> Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        for (found, code) in FINAL_STATUSES {
            let (outcome, reason) = expected_result(kind, found);
            let seats = (outcome == "success").then_some(kind.inventory_call());
            let calls: Vec<_> = api_calls.iter().copied().chain(seats).collect();
            rows.push(row(kind, found, code).expects(outcome, calls).reason_contains(reason));
        }
    }
    rows
}

#[tokio::test]
async fn any_2xx_is_followed_by_the_inventory_call_with_or_without_a_readable_body() {
    let replies = [
        ("the reply of the service itself", Effect::latency(0)),
        ("200 without a body", Effect::EmptyBody),
        ("201", Effect::http(201)),
        ("202", Effect::http(202)),
        ("204", Effect::http(204)),
        ("299", Effect::http(299)),
        ("not JSON", reply(200, "<html>OK</html>")),
        ("an empty object", reply(200, "{}")),
        ("a list", reply(200, "[1, 2]")),
        ("null", reply(200, "null")),
        ("wrong types", reply(200, r#"{"status": 1, "seat_ids": "A-1"}"#)),
        // The status line decides, not the body.
        ("the body of an error", reply(200, r#"{"error": {"code": "RESERVATION_EXPIRED"}}"#)),
    ];
    let rows = replies.iter().flat_map(|(name, effect)| {
        each_kind(move |kind| {
            Row::new(kind, name)
                .fault(PATCH, Effect::done_then(effect.clone()))
                .expects("success", [PATCH, kind.inventory_call()])
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn the_final_status_of_a_reservation_decides_the_outcome_of_each_event_type() {
    let rows = each_final_status(&[PATCH], |kind, found, _| {
        Row::new(kind, format!("{found:?} before the event")).initial_status(found)
    });
    let app = app_with_generous_limits(&[]).await;
    check_rows(&app, rows).await;
    let replies: Vec<_> = app.services.calls().into_iter().map(|call| call.reply).collect();
    for (_, code) in FINAL_STATUSES {
        let refusal = format!("409 {code}");
        assert_eq!(replies.iter().filter(|reply| **reply == refusal).count(), Kind::ALL.len(), "{replies:?}");
    }
}

#[tokio::test]
async fn each_error_code_decides_the_outcome_of_each_event_type() {
    let rows = each_final_status(&[PATCH], |kind, _, code| {
        Row::new(kind, code).fault(PATCH, Effect::http_code(409, code))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn an_error_code_decides_the_outcome_whatever_the_other_fields_are() {
    let errors = [
        r#"{"error": {"code": "CODE"}}"#,
        r#"{"error": {"code": "CODE", "message": null, "trace_id": null}}"#,
        r#"{"error": {"code": "CODE", "message": "m", "traceId": "t"}}"#,
        r#"{"error": {"code": "CODE", "message": {"no": "text"}, "details": [17]}, "ok": false}"#,
    ];
    check_rows(&app_with_generous_limits(&[]).await, conflicts_with_each_code(&errors)).await;
}

#[tokio::test]
async fn an_error_code_decides_the_outcome_even_if_the_trace_id_cannot_be_read() {
    let errors = [
        r#"{"error": {"code": "CODE", "trace_id": "t", "traceId": "t"}}"#,
        r#"{"error": {"code": "CODE", "trace_id": 17}}"#,
        r#"{"error": {"code": "CODE", "traceId": {"hi": 1, "lo": 2}}}"#,
    ];
    check_rows(&app_with_generous_limits(&[]).await, conflicts_with_each_code(&errors)).await;
}

/// Conflicts with these bodies. Each error code replaces the text `CODE`.
fn conflicts_with_each_code(errors: &[&'static str]) -> Vec<Row> {
    let rows = errors.iter().flat_map(|error| {
        each_final_status(&[PATCH], move |kind, _, code| {
            Row::new(kind, format!("{code} in {error}")).fault(PATCH, reply(409, error.replace("CODE", code)))
        })
    });
    rows.collect()
}

#[tokio::test]
async fn after_any_other_conflict_the_status_of_the_reservation_decides_the_outcome() {
    let rows = unclear_conflicts().into_iter().flat_map(|(name, conflict)| {
        each_final_status(&[PATCH, GET], move |kind, found, _| {
            Row::new(kind, format!("{name}, {found:?}")).initial_status(found).fault(PATCH, conflict.clone())
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_conflict_with_a_reservation_on_hold_is_attempted_three_times_and_the_record_is_retried() {
    let rows = unclear_conflicts().into_iter().flat_map(|(name, conflict)| {
        each_kind(move |kind| {
            Row::new(kind, &name)
                .fault(PATCH, conflict.clone())
                .expects("retried", [PATCH, GET].repeat(3))
                .reason_contains("conflict")
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

/// Conflicts that do not state the status of the reservation.
fn unclear_conflicts() -> Vec<(String, Effect)> {
    let codes = ["CONFLICT", "IDEMPOTENCY_CONFLICT", "reservation_expired", "RESERVATION_EXPIRED_X", ""];
    let bodies = [
        "not JSON",
        "{}",
        "null",
        r#"{"error": "RESERVATION_EXPIRED"}"#,
        r#"{"code": "RESERVATION_EXPIRED"}"#,
    ];
    let codes = codes.map(|code| (format!("code {code:?}"), Effect::http_code(409, code)));
    let bodies = bodies.map(|body| (format!("body {body}"), reply(409, body)));
    let nothing = ("no body".to_owned(), Effect::http(409));
    codes.into_iter().chain(bodies).chain([nothing]).collect()
}
