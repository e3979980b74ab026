//! Counts of events by the version of the function, of events that were done in time, and of heartbeats.

use std::collections::BTreeMap;

use reservation_worker_local::cloudwatch::CloudWatchBehaviour;
use reservation_worker_local::{Effect, Fault, Operation, Status};
use serde_json::json;
use sqs_batch::ClockReading;

use super::{labels, sent, sent_ago};
use crate::test_app::{TestApp, context_of_version, expired, sqs};

#[tokio::test]
async fn events_are_counted_by_the_version_of_the_function_if_it_is_known() {
    for (version, expected) in [("7", Some("7")), ("$LATEST", Some("$LATEST")), ("", None)] {
        let app = TestApp::new().await;
        app.hold("r1");
        for _ in 0..2 {
            let event = sqs([("r1", expired("r1")), ("bad", json!("no JSON"))]);
            app.run_in(event, context_of_version(version, "")).await.unwrap();
        }
        let sums = sent(&app).await.sums("worker_events_total", &["function_version", "outcome"]);
        let of_version = |version| {
            [(labels([version, "invalid_payload"]), 2.0), (labels([version, "success"]), 2.0)].into()
        };
        assert_eq!(sums, expected.map_or_else(BTreeMap::new, of_version));
    }
}

#[tokio::test]
async fn metrics_that_are_sent_later_still_have_the_version_of_the_function() {
    let app = TestApp::new().await;
    app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Fails(500, "InternalServiceFault"));
    let run = async || {
        let event = sqs([("bad", json!("no JSON"))]);
        app.run_in(event, context_of_version("7", "")).await.unwrap();
        app.after_response(ClockReading::now()).await
    };
    run().await;
    app.services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    run().await;
    let sums = sent(&app).await.sums("worker_events_total", &["function_version", "outcome"]);
    assert_eq!(sums, [(labels(["7", "invalid_payload"]), 2.0)].into());
}

#[tokio::test]
async fn each_heartbeat_is_counted_once() {
    let app = TestApp::new().await;
    let heartbeat = || json!({ "detail-type": "worker.heartbeat", "detail": {} });
    app.hold("r1");
    app.run(sqs([("m1", heartbeat()), ("m2", heartbeat()), ("m3", expired("r1"))])).await;
    app.run(sqs([("m4", heartbeat()), ("m5", json!({ "type": "reservation.created" }))])).await;
    let sent = sent(&app).await;
    assert_eq!(sent.sum("worker_heartbeat", &[]), 3.0);
    assert_eq!(sent.sum("worker_events_total", &[("type", "worker.heartbeat"), ("outcome", "ignored")]), 3.0);
    assert_eq!(
        sent.sum("worker_events_total", &[("type", "reservation.created"), ("outcome", "ignored")]),
        1.0
    );
}

#[tokio::test]
async fn an_event_is_in_time_if_it_is_done_within_60_s_of_being_sent() {
    let app = TestApp::new().await;
    ["young", "old", "late", "other", "fails"].into_iter().for_each(|id| app.hold(id));
    app.services.set_reservation_status("other", Status::Confirmed);
    app.services.fault(Fault::on(Operation::UpdateStatus, "fails", Effect::http(500)));
    let heartbeat = json!({ "type": "worker.heartbeat" });
    let mut event = sqs([
        ("young", expired("young")),
        ("other", expired("other")),
        ("old", expired("old")),
        ("late", expired("late")),
        ("fails", expired("fails")),
        ("heartbeat", heartbeat),
    ]);
    sent_ago(&mut event, &[0, 30, 55, 61, 0, 0]);
    let run = app.run(event).await;
    assert_eq!((run.outcome("late"), run.outcome("other")), ("success", "superseded"));
    assert_eq!(sent(&app).await.sum("worker_in_time_total", &[]), 3.0, "young, other, old");
}
