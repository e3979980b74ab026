//! Replies to the read of a reservation. The worker reads the reservation after a conflict that does not
//! state the status of the reservation, and for facts that the event does not have. The second table of the
//! contract also applies to these replies.

use reservation_worker_local::{Effect, Operation};
use serde_json::json;

use super::each_kind;
use crate::table::{GET, PATCH, Row, app_with_generous_limits, assert_never_logged, check_rows, reply};

/// Rows for the two situations in which the worker reads the reservation. `row` gets the row, the calls up
/// to the first read, and the calls if every attempt fails.
fn each_read(row: impl Fn(Row, Vec<Operation>, Vec<Operation>) -> Row) -> Vec<Row> {
    let after_conflict = each_kind(|kind| {
        let conflict = Row::new(kind, "after a conflict").fault(PATCH, Effect::http(409));
        row(conflict, vec![PATCH, GET], [PATCH, GET].repeat(3))
    });
    let for_facts = each_kind(|kind| {
        let without_facts =
            Row::for_event(format!("{kind:?}, for missing facts"), move |id| kind.event_without_facts(id));
        let without_facts = without_facts.fault(PATCH, Effect::EmptyBody);
        row(without_facts, vec![PATCH, GET], vec![PATCH, GET, GET, GET])
    });
    after_conflict.chain(for_facts).collect()
}

#[tokio::test]
async fn a_read_with_a_transient_status_is_attempted_three_times_and_the_record_is_retried() {
    let statuses = [300, 302, 304, 308, 401, 402, 403, 408, 412, 425, 429, 500, 501, 502, 503, 504, 599];
    let rows = statuses.into_iter().flat_map(|status| {
        each_read(move |row, _, all_calls| {
            row.fault(GET, Effect::http(status)).expects("retried", all_calls).reason_contains(status)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_rejected_read_fails_the_record_after_one_attempt() {
    let rows = [400, 404, 405, 410, 413, 415, 422, 451].into_iter().flat_map(|status| {
        each_read(move |row, first_calls, _| {
            row.fault(GET, Effect::http_code(status, "NO_SUCH_THING"))
                .expects("failed", first_calls)
                .reason_contains(status)
                .reason_contains("NO_SUCH_THING")
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_with_a_long_retry_after_has_one_attempt_per_invocation() {
    let rows = each_read(|row, first_calls, _| {
        row.fault(GET, Effect::http(503).with_retry_after("30"))
            .expects("retried", first_calls)
            .reason_contains(503)
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_read_without_a_reply_is_attempted_three_times_and_the_record_is_retried() {
    let hang = each_read(|row, _, all_calls| {
        row.fault(GET, Effect::Hang).expects("retried", all_calls).reason_contains("no reply in time")
    });
    check_rows(&app_with_generous_limits(&[("RESERVATION_API_TIMEOUT_MS", "300")]).await, hang).await;
    let reset = each_read(|row, _, all_calls| {
        row.fault(GET, Effect::Reset).expects("retried", all_calls).reason_contains("reset")
    });
    check_rows(&app_with_generous_limits(&[]).await, reset).await;
}

#[tokio::test]
async fn a_read_that_does_not_return_the_reservation_is_attempted_three_times_and_the_record_is_retried() {
    let another =
        r#"{"reservation_id": "another", "status": "EXPIRED", "event_id": "evt_1", "seat_ids": ["A-1"]}"#;
    let bodies = ["", "JaneRoe", "[]", "null", "17", r#"{"status": "#, r#"["JaneRoe"]"#, another];
    let rows = bodies.into_iter().flat_map(|body| {
        each_read(move |row, _, all_calls| {
            row.fault(GET, reply(200, body))
                .expects("retried", all_calls)
                .reason_contains("not the reservation")
        })
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    assert_never_logged(&run, "JaneRoe");
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
                    .expects("retried", [PATCH, GET].repeat(3))
            })
        });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_redirected_read_is_never_followed() {
    let rows = [301, 302, 303, 307, 308].into_iter().flat_map(|status| {
        each_read(move |row, _, all_calls| {
            row.fault(GET, Effect::http(status).with_location("/internal/reservations/other"))
                .expects("retried", all_calls)
                .reason_contains(status)
        })
    });
    let app = app_with_generous_limits(&[]).await;
    check_rows(&app, rows).await;
    assert_eq!(app.services.calls_for("other"), []);
}

#[tokio::test]
async fn the_reservation_is_not_read_if_the_reply_to_the_status_update_has_its_facts() {
    let rows = each_kind(|kind| {
        Row::for_event(format!("{kind:?}"), move |id| kind.event_without_facts(id))
            .expects("success", [PATCH, kind.inventory_call()])
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}
