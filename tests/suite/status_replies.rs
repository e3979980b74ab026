//! Contract section 3: what each reply of the reservation API to the status update means for each event.

use reservation_worker_local::{Effect, Operation, Status};

use crate::table::{GET, Kind, PATCH, Row, check, patient, reply};

mod bodies;
mod faults;
mod reads;

/// How a reservation can have ended, with the code that says so.
const CODES: [(Status, &str); 3] = [
    (Status::Confirmed, "RESERVATION_ALREADY_CONFIRMED"),
    (Status::Cancelled, "RESERVATION_ALREADY_CANCELLED"),
    (Status::Expired, "RESERVATION_EXPIRED"),
];

/// The contract's first table.
fn verdict(kind: Kind, found: Status) -> (&'static str, &'static str) {
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
        (_, Status::Hold) => unreachable!("has not ended"),
    }
}

/// `row` for each event type.
fn each_kind(row: impl Fn(Kind) -> Row) -> impl Iterator<Item = Row> {
    Kind::ALL.into_iter().map(row)
}

/// `row` for each event type and way in which a reservation can have ended, with what must come of it after
/// these calls.
fn each_ending(asked: &[Operation], row: impl Fn(Kind, Status, &str) -> Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        for (found, code) in CODES {
            let (outcome, reason) = verdict(kind, found);
            let seats = (outcome == "success").then_some(kind.seat_call());
            let calls: Vec<_> = asked.iter().copied().chain(seats).collect();
            rows.push(row(kind, found, code).gives(outcome, calls).because(reason));
        }
    }
    rows
}

#[tokio::test]
async fn any_2xx_leads_on_to_the_seats_with_or_without_a_readable_body() {
    let replies = [
        ("the work's own", Effect::latency(0)),
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
        // The status line decides, not the words beneath it.
        ("an error's body", reply(200, r#"{"error": {"code": "RESERVATION_EXPIRED"}}"#)),
    ];
    let rows = replies.iter().flat_map(|(name, effect)| {
        each_kind(move |kind| {
            Row::new(kind, name)
                .fault(PATCH, Effect::done_then(effect.clone()))
                .gives("success", [PATCH, kind.seat_call()])
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_reservation_that_has_ended_decides_for_each_event() {
    let rows =
        each_ending(&[PATCH], |kind, found, _| Row::new(kind, format!("{found:?} before")).found(found));
    let app = patient(&[]).await;
    check(&app, rows).await;
    let replies: Vec<_> = app.services.calls().into_iter().map(|call| call.reply).collect();
    for (_, code) in CODES {
        let refusal = format!("409 {code}");
        assert_eq!(replies.iter().filter(|reply| **reply == refusal).count(), 3, "{replies:?}");
    }
}

#[tokio::test]
async fn each_code_decides_for_each_event() {
    let rows = each_ending(&[PATCH], |kind, _, code| {
        Row::new(kind, code).fault(PATCH, Effect::http_code(409, code))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_code_decides_whatever_stands_beside_it() {
    let errors = [
        r#"{"error": {"code": "CODE"}}"#,
        r#"{"error": {"code": "CODE", "message": null, "trace_id": null}}"#,
        r#"{"error": {"code": "CODE", "message": "m", "traceId": "t"}}"#,
        r#"{"error": {"code": "CODE", "message": {"no": "text"}, "details": [17]}, "ok": false}"#,
    ];
    check(&patient(&[]).await, with_each_code(&errors)).await;
}

#[tokio::test]
async fn a_code_decides_beside_a_trace_id_that_cannot_be_read() {
    let errors = [
        r#"{"error": {"code": "CODE", "trace_id": "t", "traceId": "t"}}"#,
        r#"{"error": {"code": "CODE", "trace_id": 17}}"#,
        r#"{"error": {"code": "CODE", "traceId": {"hi": 1, "lo": 2}}}"#,
    ];
    check(&patient(&[]).await, with_each_code(&errors)).await;
}

/// Conflicts with these bodies, with each code in the place of `CODE`.
fn with_each_code(errors: &[&'static str]) -> Vec<Row> {
    let rows = errors.iter().flat_map(|error| {
        each_ending(&[PATCH], move |kind, _, code| {
            Row::new(kind, format!("{code} in {error}")).fault(PATCH, reply(409, error.replace("CODE", code)))
        })
    });
    rows.collect()
}

#[tokio::test]
async fn after_any_other_conflict_the_reservations_own_status_decides() {
    let rows = unclear_conflicts().into_iter().flat_map(|(name, conflict)| {
        each_ending(&[PATCH, GET], move |kind, found, _| {
            Row::new(kind, format!("{name}, {found:?}")).found(found).fault(PATCH, conflict.clone())
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_conflict_with_a_reservation_still_on_hold_is_tried_three_times_and_comes_again() {
    let rows = unclear_conflicts().into_iter().flat_map(|(name, conflict)| {
        each_kind(move |kind| {
            Row::new(kind, &name)
                .fault(PATCH, conflict.clone())
                .gives("retried", [PATCH, GET].repeat(3))
                .because("conflict")
        })
    });
    check(&patient(&[]).await, rows).await;
}

/// Conflicts that do not say with what.
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
