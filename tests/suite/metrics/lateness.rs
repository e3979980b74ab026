//! `worker_event_lateness_seconds`: from the event's own time to the outcome.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::sent;
use crate::test_app::{TestApp, expired, sqs};

#[tokio::test]
async fn the_lateness_of_an_event_is_the_time_from_the_event_to_the_outcome_in_every_form_of_rfc_3339() {
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let at = |offset_hours: i64, suffix: &str| {
        let local = hour_ago.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + offset_hours * 3_600;
        let time = aws_smithy_types::DateTime::from_secs(local);
        let time = time.fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
        json!(time.replace('Z', suffix))
    };
    let an_hour = || Some(3_599.0..3_700.0);
    let cases = [
        (json!({ "time": at(0, "Z") }), an_hour()),
        (json!({ "time": at(0, ".652Z") }), an_hour()),
        (json!({ "time": at(0, ".652118990Z") }), an_hour()),
        (json!({ "time": at(9, "+09:00") }), an_hour()),
        (json!({ "time": at(-5, "-05:00") }), an_hour()),
        (json!({ "ts": at(0, "Z") }), an_hour()),
        (json!({ "time": null, "ts": at(0, "Z") }), an_hour()),
        (json!({ "time": "soon", "ts": at(0, "Z") }), an_hour()),
        (json!({ "time": at(0, "Z"), "ts": "2020-01-01T00:00:00Z" }), an_hour()),
        (json!({ "time": at(2, "Z") }), Some(0.0..0.001)),
        (json!({ "time": "1970-01-01T00:00:00Z" }), Some(1e6..1e8)),
        (json!({ "time": "0001-01-01T00:00:00Z" }), Some(1e6..1e8)),
        (json!({ "time": "9999-12-31T23:59:59.999999999Z" }), Some(0.0..0.001)),
        (json!({}), None),
        (json!({ "time": null }), None),
        (json!({ "time": "" }), None),
        (json!({ "time": "2026-11-14" }), None),
        (json!({ "time": "2026-13-14T11:02:50Z" }), None),
        (json!({ "time": "2026-11-14 11:02:50" }), None),
        (json!({ "time": "Sat, 14 Nov 2026 11:02:50 GMT" }), None),
        (json!({ "time": "９026-11-14T11:02:50Z" }), None),
        (json!({ "time": 1_795_315_475 }), None),
        (json!({ "time": ["2026-11-14T11:02:50Z"] }), None),
        (json!({ "time": { "seconds": 1 } }), None),
    ];
    let mut failures = Vec::new();
    for (time, expected) in cases {
        let app = TestApp::new().await;
        app.hold("r1");
        let mut event = expired("r1");
        event.as_object_mut().unwrap().extend(time.as_object().unwrap().clone());
        let run = app.run(sqs([("m1", event)])).await;
        assert_eq!((run.outcome("m1"), run.log.len()), ("success", 1), "no time may fail an event: {time}");
        let sent = sent(&app).await;
        for dimensions in [&[][..], &[("type", "reservation.expired")]] {
            let found = sent.values("worker_event_lateness_seconds", dimensions);
            let is_expected = match &expected {
                None => found.is_empty(),
                Some(range) => matches!(&found[..], [(late, 1.0)] if range.contains(late)),
            };
            if !is_expected {
                failures.push(format!("{time}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn a_record_that_is_not_understood_has_no_lateness() {
    let app = TestApp::new().await;
    let time = "2026-11-14T11:02:50Z";
    app.run(sqs([
        ("m1", json!({ "type": "unknown", "time": time })),
        ("m2", json!({ "type": "payment.failed", "time": time })),
    ]))
    .await;
    assert_eq!(sent(&app).await.values("worker_event_lateness_seconds", &[]), []);
}
