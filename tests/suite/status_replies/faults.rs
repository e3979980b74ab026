//! The second table of the contract: replies that do not state the status of the reservation, and calls
//! without a reply.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use reservation_worker_local::{Effect, Fault, Service, Services};

use super::each_kind;
use crate::table::{Kind, PATCH, Row, app_with_generous_limits, check_rows, operations};
use crate::test_app::sqs;

#[tokio::test]
async fn a_call_with_a_transient_status_is_attempted_three_times_and_the_record_is_retried() {
    let statuses = [402, 408, 412, 425, 429, 500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 599];
    let rows = statuses.into_iter().flat_map(|status| {
        each_kind(move |kind| {
            Row::new(kind, status)
                .fault(PATCH, Effect::http(status))
                .expects("retried", [PATCH; 3])
                .reason_contains(status)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_status_that_shows_a_wrong_deployment_is_attempted_once_and_the_record_is_retried() {
    let rows = [401, 403, 404, 405, 300, 304].into_iter().flat_map(|status| {
        each_kind(move |kind| {
            Row::new(kind, status)
                .fault(PATCH, Effect::http(status))
                .expects("retried", [PATCH])
                .reason_contains(status)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_transient_status_is_transient_with_every_error_code() {
    let replies = [
        (402, "PAYMENT_NOT_CONFIRMED"),
        (412, "PAYMENT_NOT_APPROVED"),
        (429, "RATE_LIMITED"),
        (503, "RESERVATION_EXPIRED"),
        (500, "RESERVATION_ALREADY_CONFIRMED"),
    ];
    let rows = replies.into_iter().flat_map(|(status, code)| {
        each_kind(move |kind| {
            Row::new(kind, format!("{status} {code}"))
                .fault(PATCH, Effect::http_code(status, code))
                .expects("retried", [PATCH; 3])
                .reason_contains(status)
                .reason_contains(code)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn any_other_4xx_fails_the_record_after_one_attempt() {
    let statuses =
        [400, 406, 407, 410, 411, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 426, 428, 431, 451, 499];
    let plain = statuses.map(|status| (status, Effect::http(status), String::new()));
    let with_code = [
        (400, "INVALID_ARGUMENT"),
        (400, "IDEMPOTENCY_REQUIRED"),
        (404, "RESERVATION_NOT_FOUND"),
        (405, "X"),
    ];
    let with_code =
        with_code.map(|(status, code)| (status, Effect::http_code(status, code), code.to_owned()));
    let rows = plain.into_iter().chain(with_code).flat_map(|(status, effect, code)| {
        each_kind(move |kind| {
            Row::new(kind, format!("{status} {code}"))
                .fault(PATCH, effect.clone())
                .expects("failed", [PATCH])
                .reason_contains(status)
                .reason_contains(&code)
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn an_unknown_reservation_fails_the_record() {
    for kind in Kind::ALL {
        let app = app_with_generous_limits(&[]).await;
        let run = app.run(sqs([("m-1", kind.event("unknown"))])).await;
        assert_eq!(run.outcome("m-1"), "failed");
        assert_eq!(run.reason("m-1"), "reservation API: 404 RESERVATION_NOT_FOUND");
        assert_eq!(run.returned(), ["m-1"]);
        assert_eq!(operations(&app, "unknown"), [PATCH]);
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let other_host = format!("http://{}/internal/reservations/x", listener.local_addr().unwrap());
    let other = Services::start().await.unwrap();
    let other_api = format!("{}/internal/reservations/x", other.reservation_api_base());
    let rows = [300, 301, 302, 303, 304, 305, 307, 308].into_iter().flat_map(|status| {
        [other_host.clone(), other_api.clone(), "/internal/reservations/other".to_owned()]
            .into_iter()
            .flat_map(move |location| {
                each_kind(move |kind| {
                    Row::new(kind, format!("{status} to {location}"))
                        .fault(PATCH, Effect::http(status).with_location(&location))
                        .expects("retried", [PATCH])
                        .reason_contains(status)
                })
            })
    });
    let app = app_with_generous_limits(&[]).await;
    check_rows(&app, rows).await;
    assert!(listener.accept().is_err(), "a redirect was followed");
    assert_eq!(other.calls(), []);
    assert_eq!(app.services.calls_for("other"), []);
}

#[tokio::test]
async fn a_call_with_a_long_retry_after_has_one_attempt_per_invocation() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3_600));
    let waits = ["1", "3600", "18446744073709551615", &in_an_hour];
    check_rows(&app_with_generous_limits(&[]).await, single_attempts(&waits)).await;
}

#[tokio::test]
async fn a_retry_after_that_exceeds_64_bits_is_treated_as_long() {
    check_rows(&app_with_generous_limits(&[]).await, single_attempts(&["99999999999999999999999999"])).await;
}

/// Rows with transient replies that have these `Retry-After` values. Each call is expected once.
fn single_attempts(waits: &[&str]) -> Vec<Row> {
    let rows = waits.iter().flat_map(|wait| {
        let wait = (*wait).to_owned();
        [429, 503, 412, 403].into_iter().flat_map(move |status| {
            let wait = wait.clone();
            each_kind(move |kind| {
                Row::new(kind, format!("{status}, Retry-After: {wait}"))
                    .fault(PATCH, Effect::http(status).with_retry_after(&wait))
                    .expects("retried", [PATCH])
                    .reason_contains(status)
            })
        })
    });
    rows.collect()
}

#[tokio::test]
async fn a_call_with_a_zero_or_invalid_retry_after_is_attempted_three_times() {
    let waits = ["0", "", "-1", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT", "1 second"];
    let rows = waits.into_iter().flat_map(|wait| {
        each_kind(move |kind| {
            Row::new(kind, format!("Retry-After: {wait}"))
                .fault(PATCH, Effect::http(503).with_retry_after(wait))
                .expects("retried", [PATCH; 3])
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_call_without_a_reply_in_time_is_attempted_three_times_and_the_record_is_retried() {
    let rows = each_kind(|kind| {
        Row::new(kind, "hang")
            .fault(PATCH, Effect::Hang)
            .expects("retried", [PATCH; 3])
            .reason_contains("no reply in time")
    });
    check_rows(&app_with_generous_limits(&[("RESERVATION_API_TIMEOUT_MS", "300")]).await, rows).await;
}

#[tokio::test]
async fn a_call_whose_connection_is_reset_is_attempted_three_times_and_the_record_is_retried() {
    let rows = each_kind(|kind| {
        Row::new(kind, "reset")
            .fault(PATCH, Effect::Reset)
            .expects("retried", [PATCH; 3])
            .reason_contains("reset")
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_record_whose_connection_is_refused_is_retried() {
    let app = app_with_generous_limits(&[]).await;
    app.services.stop(Service::ReservationApi).await;
    let rows = each_kind(|kind| Row::new(kind, "stopped").expects("retried", []).reason_contains("refused"));
    check_rows(&app, rows).await;
}

#[tokio::test]
async fn after_one_or_two_transient_faults_an_attempt_with_the_same_request_succeeds() {
    for effect in [Effect::http(503), Effect::Reset, Effect::http(500)] {
        let app = app_with_generous_limits(&[]).await;
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            let (id, fault_count) = (format!("r{number}"), u32::try_from(number % 2).unwrap() + 1);
            app.hold(&id);
            app.services.fault(Fault::on(PATCH, &id, effect.clone()).times(fault_count));
            let run = app.run(sqs([(id.as_str(), kind.event(&id))])).await;
            assert_eq!(run.outcome(&id), "success", "{kind:?} {effect:?}");
            let attempts = fault_count as usize + 1;
            assert_eq!(operations(&app, &id), [vec![PATCH; attempts], vec![kind.inventory_call()]].concat());
            let calls = app.services.calls_for(&id);
            for retry in &calls[1..attempts] {
                assert_eq!(retry.body, calls[0].body);
                assert_eq!(retry.headers["idempotency-key"], calls[0].headers["idempotency-key"]);
            }
        }
    }
}
