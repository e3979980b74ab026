//! Replies to the read of a reservation. The worker reads the reservation after a conflict that does not
//! state the status of the reservation, and for facts that the event does not have. The second table of the
//! contract also applies to these replies.

use reservation_worker_local::{Effect, Operation};
use serde_json::json;

use super::each_kind;
use crate::table::{GET, PATCH, Row, check, never_logged, patient, reply};

/// Rows for the two situations in which the worker reads the reservation. `row` gets the row, the calls up
/// to the first read, and the calls if every attempt fails.
fn each_read(row: impl Fn(Row, Vec<Operation>, Vec<Operation>) -> Row) -> Vec<Row> {
    let after_conflict = each_kind(|kind| {
        let conflict = Row::new(kind, "after a conflict").fault(PATCH, Effect::http(409));
        row(conflict, vec![PATCH, GET], [PATCH, GET].repeat(3))
    });
    let for_facts = each_kind(|kind| {
        let without_facts =
            Row::of(format!("{kind:?}, for missing facts"), move |id| kind.event_without_facts(id));
        let without_facts = without_facts.fault(PATCH, Effect::EmptyBody);
        row(without_facts, vec![PATCH, GET], vec![PATCH, GET, GET, GET])
    });
    after_conflict.chain(for_facts).collect()
}

#[tokio::test]
async fn a_read_with_a_transient_status_is_attempted_three_times_and_the_record_is_retried() {
    let statuses = [300, 302, 304, 308, 401, 403, 408, 412, 425, 429, 500, 501, 502, 503, 504, 599];
    let rows = statuses.into_iter().flat_map(|status| {
        each_read(move |row, _, all_calls| {
            row.fault(GET, Effect::http(status)).gives("retried", all_calls).because(status)
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_rejected_read_fails_the_record_after_one_attempt() {
    let rows = [400, 402, 404, 405, 410, 413, 415, 422, 451].into_iter().flat_map(|status| {
        each_read(move |row, first_calls, _| {
            row.fault(GET, Effect::http_code(status, "NO_SUCH_THING"))
                .gives("failed", first_calls)
                .because(status)
                .because("NO_SUCH_THING")
        })
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_with_a_long_retry_after_has_one_attempt_per_invocation() {
    let rows = each_read(|row, first_calls, _| {
        row.fault(GET, Effect::http(503).with_retry_after("30")).gives("retried", first_calls).because(503)
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_without_a_reply_is_attempted_three_times_and_the_record_is_retried() {
    let hang = each_read(|row, _, all_calls| {
        row.fault(GET, Effect::Hang).gives("retried", all_calls).because("no reply in time")
    });
    check(&patient(&[("RESERVATION_API_TIMEOUT_MS", "300")]).await, hang).await;
    let reset = each_read(|row, _, all_calls| {
        row.fault(GET, Effect::Reset).gives("retried", all_calls).because("reset")
    });
    check(&patient(&[]).await, reset).await;
}

#[tokio::test]
async fn a_read_that_does_not_return_the_reservation_is_attempted_three_times_and_the_record_is_retried() {
    let another =
        r#"{"reservation_id": "another", "status": "EXPIRED", "event_id": "evt_1", "seat_ids": ["A-1"]}"#;
    let bodies = ["", "JaneRoe", "[]", "null", "17", r#"{"status": "#, r#"["JaneRoe"]"#, another];
    let rows = bodies.into_iter().flat_map(|body| {
        each_read(move |row, _, all_calls| {
            row.fault(GET, reply(200, body)).gives("retried", all_calls).because("not a reservation")
        })
    });
    let run = check(&patient(&[]).await, rows).await;
    never_logged(&run, "JaneRoe");
}

#[tokio::test]
async fn an_unknown_status_is_not_a_final_status() {
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
        each_read(move |row, _, all_calls| {
            row.fault(GET, Effect::http(status).with_location("/internal/reservations/other"))
                .gives("retried", all_calls)
                .because(status)
        })
    });
    let app = patient(&[]).await;
    check(&app, rows).await;
    assert_eq!(app.services.calls_for("other"), []);
}

#[tokio::test]
async fn the_reservation_is_not_read_if_the_reply_to_the_status_update_has_its_facts() {
    let rows = each_kind(|kind| {
        Row::of(format!("{kind:?}"), move |id| kind.event_without_facts(id))
            .gives("success", [PATCH, kind.seat_call()])
    });
    check(&patient(&[]).await, rows).await;
}
