//! The reservation is read after a conflict that does not say with what, and for facts that an event lacks.
//! Its replies have the same table.

use reservation_worker_local::{Effect, Operation};
use serde_json::json;

use super::each_kind;
use crate::table::{GET, PATCH, Row, check, never_logged, patient, reply};

/// The two ways to a read, each with its calls up to the first read and those of each try.
fn each_read(row: impl Fn(Row, Vec<Operation>, Vec<Operation>) -> Row) -> Vec<Row> {
    let after_conflict = each_kind(|kind| {
        let conflict = Row::new(kind, "after a conflict").fault(PATCH, Effect::http(409));
        row(conflict, vec![PATCH, GET], [PATCH, GET].repeat(3))
    });
    let for_facts = each_kind(|kind| {
        let lacking = Row::of(format!("{kind:?}, for facts"), move |id| kind.event_without_facts(id));
        let lacking = lacking.fault(PATCH, Effect::EmptyBody);
        row(lacking, vec![PATCH, GET], vec![PATCH, GET, GET, GET])
    });
    after_conflict.chain(for_facts).collect()
}

#[tokio::test]
async fn a_read_that_fails_transiently_is_tried_three_times_and_comes_again() {
    let statuses = [300, 302, 304, 308, 401, 403, 408, 412, 425, 429, 500, 501, 502, 503, 504, 599];
    let rows = statuses.into_iter().flat_map(|status| {
        each_read(move |row, _, thrice| {
            row.fault(GET, Effect::http(status)).gives("retried", thrice).because(status)
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_that_is_refused_fails_the_record_at_once() {
    let rows = [400, 402, 404, 405, 410, 413, 415, 422, 451].into_iter().flat_map(|status| {
        each_read(move |row, once, _| {
            row.fault(GET, Effect::http_code(status, "NO_SUCH_THING"))
                .gives("failed", once)
                .because(status)
                .because("NO_SUCH_THING")
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_that_asks_for_a_longer_wait_is_not_tried_again_within_the_invocation() {
    let rows = each_read(|row, once, _| {
        row.fault(GET, Effect::http(503).with_retry_after("30")).gives("retried", once).because(503)
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_without_a_reply_is_tried_three_times_and_comes_again() {
    let hang = each_read(|row, _, thrice| {
        row.fault(GET, Effect::Hang).gives("retried", thrice).because("no reply in time")
    });
    check(&patient(&[("RESERVATION_API_TIMEOUT_MS", "300")]).await, hang).await;
    let reset =
        each_read(|row, _, thrice| row.fault(GET, Effect::Reset).gives("retried", thrice).because("reset"));
    check(&patient(&[]).await, reset).await;
}

#[tokio::test]
async fn a_read_that_brings_no_reservation_comes_again() {
    let another =
        r#"{"reservation_id": "another", "status": "EXPIRED", "event_id": "evt_1", "seat_ids": ["A-1"]}"#;
    let bodies = ["", "JaneRoe", "[]", "null", "17", r#"{"status": "#, r#"["JaneRoe"]"#, another];
    let rows = bodies.into_iter().flat_map(|body| {
        each_read(move |row, _, thrice| {
            row.fault(GET, reply(200, body)).gives("retried", thrice).because("not a reservation")
        })
    });
    let ran = check(&patient(&[]).await, rows).await;
    never_logged(&ran, "JaneRoe");
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_not_taken_for_an_ending() {
    let rows =
        [json!("PENDING"), json!("confirmed"), json!(""), json!(null)].into_iter().flat_map(|status| {
            each_kind(move |kind| {
                let reservation =
                    json!({"event_id": "evt_1", "status": status, "seat_ids": ["A-1"], "quantity": 1});
                Row::new(kind, format!("{status}"))
                    .fault(PATCH, Effect::http(409))
                    .fault(GET, reply(200, &reservation))
                    .gives("retried", [PATCH, GET].repeat(3))
            })
        });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_redirected_read_is_never_followed() {
    let rows = [301, 302, 303, 307, 308].into_iter().flat_map(|status| {
        each_read(move |row, _, thrice| {
            row.fault(GET, Effect::http(status).with_location("/internal/reservations/other"))
                .gives("retried", thrice)
                .because(status)
        })
    });
    let app = patient(&[]).await;
    check(&app, rows).await;
    assert_eq!(app.services.calls_for("other"), []);
}

#[tokio::test]
async fn what_the_reply_to_the_status_update_tells_is_not_read_again() {
    let rows = each_kind(|kind| {
        Row::of(format!("{kind:?}"), move |id| kind.event_without_facts(id))
            .gives("success", [PATCH, kind.seat_call()])
    });
    check(&patient(&[]).await, rows).await;
}
