//! Which parts of an error body are logged, and which are never logged.

use serde_json::json;

use super::each_kind;
use crate::table::{GET, Kind, PATCH, Row, app_with_generous_limits, assert_never_logged, check_rows, reply};

#[tokio::test]
async fn the_code_and_the_trace_id_of_an_error_are_logged_in_either_spelling() {
    let rows = ["trace_id", "traceId"].into_iter().flat_map(|name| {
        each_kind(move |kind| {
            let error =
                json!({"error": {"code": "INVALID_ARGUMENT", "message": "m", name: "0af7651916cd43dd"}});
            Row::new(kind, name)
                .fault(PATCH, reply(400, error))
                .expects("failed", [PATCH])
                .reason_contains("400 INVALID_ARGUMENT")
                .reason_contains("0af7651916cd43dd")
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn if_the_body_is_not_an_error_the_http_status_decides_the_outcome() {
    let bodies = [
        "",
        " ",
        "not JSON",
        "<html>404</html>",
        "{}",
        "[]",
        "null",
        "17",
        r#""RESERVATION_EXPIRED""#,
        r#"{"error": null}"#,
        r#"{"error": "text"}"#,
        r#"{"error": {}}"#,
        r#"{"error": {"code": 17}}"#,
        r#"{"error": {"code": null}}"#,
        r#"{"error": {"code": "RESERVATION_EXP"#,
    ];
    let rows = bodies.into_iter().flat_map(|body| {
        [(400, "failed", 1), (404, "retried", 1), (503, "retried", 3)].map(|(status, outcome, attempts)| {
            Row::new(Kind::Expired, format!("{status} {body}"))
                .fault(PATCH, reply(status, body))
                .expects(outcome, vec![PATCH; attempts])
                .reason_contains(status)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn free_text_in_an_error_is_never_logged() {
    let long = "X".repeat(65);
    let texts = [
        "Jane Roe",
        "Jane\nRoe",
        "<b>Jane</b>",
        "Jane\u{1b}[31m",
        "{\"Jane\":1}",
        "Jané",
        "Jane=4111111111111111;",
        &long,
    ];
    let rows = texts.into_iter().flat_map(|text| {
        [409, 404, 503, 302, 412].map(|status| {
            let error =
                json!({"error": {"code": text, "message": "Jane", "trace_id": text, "details": "Jane"}});
            let (outcome, calls) = match status {
                // The worker reads the reservation, which is still on hold.
                409 => ("retried", [PATCH, GET].repeat(3)),
                404 => ("failed", vec![PATCH]),
                302 => ("retried", vec![PATCH]),
                _ => ("retried", vec![PATCH; 3]),
            };
            Row::new(Kind::Approved, format!("{status} {text:?}"))
                .fault(PATCH, reply(status, error))
                .expects(outcome, calls)
        })
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    for secret in ["Jan", "4111111111111111", &long] {
        assert_never_logged(&run, secret);
    }
}

#[tokio::test]
async fn the_message_of_an_error_is_never_logged_even_if_its_code_is() {
    let statuses = [(400, "failed", 1), (503, "retried", 3), (403, "retried", 1)];
    let rows = statuses.into_iter().flat_map(|(status, outcome, attempts)| {
        each_kind(move |kind| {
            let error = json!({"error": {"code": "SOME_CODE", "message": "JaneRoe", "trace_id": "t-1"}});
            Row::new(kind, status)
                .fault(PATCH, reply(status, error))
                .expects(outcome, vec![PATCH; attempts])
                .reason_contains("SOME_CODE")
        })
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    assert_never_logged(&run, "JaneRoe");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_never_logged() {
    let rows = [200, 400, 500].map(|status| {
        let (outcome, calls) = match status {
            200 => ("success", vec![PATCH, Kind::Expired.inventory_call()]),
            400 => ("failed", vec![PATCH]),
            _ => ("retried", vec![PATCH; 3]),
        };
        let html = "<html>JaneRoe at /srv/app.rb:17</html>";
        Row::new(Kind::Expired, status).fault(PATCH, reply(status, html)).expects(outcome, calls)
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    assert_never_logged(&run, "JaneRoe");
}
