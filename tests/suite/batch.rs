//! Contract section 5: the order of records, the concurrency limit, the deadline, and the exact response.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::{Value, json};

use crate::table::app_with_generous_limits;
use crate::test_app::{TestApp, approved, context, expired, failed, fifo, record, sqs};

const HOUR: Duration = Duration::from_secs(3_600);

fn numbered<'a>(prefix: &'a str, numbers: impl IntoIterator<Item = usize> + 'a) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{prefix}{number}")).collect()
}

/// The statuses requested for a reservation, in the order in which the reservation API received them.
fn requested_statuses(app: &TestApp, reservation_id: &str) -> Vec<String> {
    let calls = app.services.calls_for(reservation_id);
    let updates = calls.iter().filter(|call| call.operation == Operation::UpdateStatus);
    updates.map(|call| call.body["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_batch_of_a_thousand_records_is_processed() {
    let app = app_with_generous_limits(&[]).await;
    let ids = numbered("r", 0..1_000);
    ids.iter().for_each(|id| app.hold(id));
    let bodies = ids.iter().enumerate().map(|(number, id)| match number % 3 {
        0 => expired(id),
        1 => approved(id),
        _ => failed(id),
    });

    let run = app.run(sqs(ids.iter().map(String::as_str).zip(bodies))).await;

    assert_eq!(run.returned(), [""; 0]);
    for (number, id) in ids.iter().enumerate() {
        let (status, seats) = match number % 3 {
            0 => (Status::Expired, SeatState::Available),
            1 => (Status::Confirmed, SeatState::Sold),
            _ => (Status::Cancelled, SeatState::Available),
        };
        assert_eq!(app.services.reservation(id).unwrap().status, status, "{id}");
        assert_eq!(app.services.seat_state(id), Some(seats), "{id}");
        assert_eq!(run.outcome(id), "success");
    }
    assert_eq!(app.services.calls().len(), 2_000);
}

#[tokio::test]
async fn the_configured_concurrency_is_reached_and_never_exceeded() {
    for (fifo_queue, group) in [(false, ""), (true, "group-")] {
        let app = TestApp::with(&[("WORKER_CONCURRENCY", "5")]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(20)));
        let ids = numbered("r", 0..50);
        ids.iter().for_each(|id| app.hold(id));
        let groups = numbered(group, 0..50);

        let event = match fifo_queue {
            false => sqs(ids.iter().map(|id| (id.as_str(), expired(id)))),
            true => {
                fifo(ids.iter().zip(&groups).map(|(id, group)| (id.as_str(), group.as_str(), expired(id))))
            }
        };
        let run = app.run(event).await;

        assert_eq!(run.returned(), [""; 0]);
        assert_eq!(app.services.peak_in_flight(), 5);
    }
}

#[tokio::test]
async fn a_bad_record_does_not_change_the_result_of_another_record() {
    let app = TestApp::new().await;
    let ids = numbered("good", 0..10);
    ids.iter().for_each(|id| app.hold(id));
    app.hold("refused");
    app.services.fault(Fault::on(Operation::UpdateStatus, "refused", Effect::http(422)));
    let mut records: Vec<_> = ids.iter().map(|id| (id.as_str(), approved(id))).collect();
    records.insert(3, ("poison", json!("{")));
    records.insert(0, ("refused", approved("refused")));

    let run = app.run(sqs(records)).await;

    assert_eq!(run.returned(), ["refused", "poison"]);
    assert!(ids.iter().all(|id| app.services.seat_state(id) == Some(SeatState::Sold)));
}

#[tokio::test]
async fn records_of_one_reservation_run_in_the_order_of_the_batch() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.hold("r2");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r1", Effect::latency(30)).times(1));

    let records = [
        ("m1", expired("r1")),
        ("m2", approved("r1")),
        ("m3", failed("r1")),
        ("m4", approved("r2")),
        ("m5", expired("r2")),
    ];
    let run = app.run(sqs(records)).await;

    assert_eq!(requested_statuses(&app, "r1"), ["EXPIRED", "CONFIRMED", "CANCELLED"]);
    assert_eq!(requested_statuses(&app, "r2"), ["CONFIRMED", "EXPIRED"]);
    assert_eq!(run.returned(), ["m2"], "m2 is paid but expired");
    assert_eq!(run.outcome("m3"), "superseded");
    assert_eq!(run.outcome("m5"), "superseded");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Available));
    assert_eq!(app.services.seat_state("r2"), Some(SeatState::Sold));
}

#[tokio::test]
async fn on_a_standard_queue_a_failure_does_not_block_the_next_record_of_the_reservation() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r1", Effect::http(503)).times(3));

    let mut event = sqs([("m1", expired("r1")), ("m2", approved("r1"))]);
    for index in [0, 1] {
        // A fair queue has message groups too. Only the ARN shows that a queue is FIFO.
        event["Records"][index]["attributes"]["MessageGroupId"] = json!("r1");
    }
    let run = app.run(event).await;

    assert_eq!(run.returned(), ["m1"]);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
}

#[tokio::test]
async fn duplicate_events_are_processed_once_and_share_the_outcome() {
    let in_another_envelope = |reservation_id| {
        let mut body = expired(reservation_id);
        body["id"] = json!("another");
        body["detail-type"] = json!("reservation.hold.expired");
        body
    };
    let app = TestApp::new().await;
    ["done", "rejected", "unavailable"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::ReleaseHold, "rejected", Effect::grpc(3)));
    app.services.fault(Fault::on(Operation::ReleaseHold, "unavailable", Effect::grpc(14)));

    let run = app
        .run(sqs([
            ("m1", expired("done")),
            ("m2", expired("rejected")),
            ("m3", expired("unavailable")),
            ("m4", in_another_envelope("done")),
            ("m5", in_another_envelope("rejected")),
            ("m6", in_another_envelope("unavailable")),
        ]))
        .await;

    assert_eq!(run.returned(), ["m2", "m3", "m5", "m6"]);
    for (first, second) in [("m1", "m4"), ("m2", "m5"), ("m3", "m6")] {
        assert_eq!(run.outcome(first), run.outcome(second));
    }
    for id in ["done", "rejected", "unavailable"] {
        assert_eq!(requested_statuses(&app, id), ["EXPIRED"], "{id}");
    }
}

#[tokio::test]
async fn events_with_different_payments_are_not_duplicates() {
    let app = TestApp::new().await;
    app.hold("r1");
    let mut other = approved("r1");
    other["detail"]["payment_intent_id"] = json!("pay_2");

    let run = app.run(sqs([("m1", approved("r1")), ("m2", other)])).await;

    assert_eq!(requested_statuses(&app, "r1"), ["CONFIRMED", "CONFIRMED"]);
    assert_eq!(run.outcome("m1"), "success");
}

#[tokio::test]
async fn in_a_fifo_group_the_records_after_a_retried_record_are_returned_without_calls_and_poison_blocks_nothing()
 {
    let app = TestApp::new().await;
    ["a1", "a2", "a3", "b1", "b2", "c1", "c2"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "a2", Effect::http(503)));

    let run = app
        .run(fifo([
            ("a1", "a", expired("a1")),
            ("b1", "b", expired("b1")),
            ("a2", "a", expired("a2")),
            ("c0", "c", json!("poison")),
            ("a3", "a", expired("a3")),
            ("b2", "b", expired("b2")),
            ("c1", "c", expired("c1")),
            ("c2", "c", expired("c2")),
        ]))
        .await;

    assert_eq!(run.returned(), ["a2", "c0", "a3"]);
    assert_eq!(run.outcome("a3"), "deferred");
    assert_eq!(app.services.calls_for("a3"), [], "a service was called for a3");
    for id in ["b2", "c1", "c2"] {
        assert_eq!(run.outcome(id), "success");
    }
    assert_eq!(app.services.seat_state("b2"), Some(SeatState::Available));
}

/// A record that fails on its last receive goes to the DLQ. If it blocked its group, the records after it would
/// lose a receive with each delivery, and could go to the DLQ as well.
#[tokio::test]
async fn in_a_fifo_group_a_failure_on_the_last_receive_does_not_block_the_records_after_it() {
    for (poison_receives, follower_receives, returned) in [
        ("4", "4", vec!["m0", "m1", "m2"]),
        ("5", "5", vec!["m0"]),
        ("5", "1", vec!["m0"]),
        ("6", "6", vec!["m0"]),
    ] {
        let app = TestApp::new().await;
        ["r0", "r1", "r2"].into_iter().for_each(|id| app.hold(id));
        app.services.fault(Fault::on(Operation::UpdateStatus, "r0", Effect::http(500)));
        let mut event =
            fifo([("m0", "g", expired("r0")), ("m1", "g", expired("r1")), ("m2", "g", expired("r2"))]);
        for (index, receives) in [poison_receives, follower_receives, follower_receives].iter().enumerate() {
            event["Records"][index]["attributes"]["ApproximateReceiveCount"] = json!(receives);
        }
        assert_eq!(app.run(event).await.returned(), returned, "{poison_receives}");
    }
}

#[tokio::test]
async fn in_a_fifo_group_a_duplicate_after_a_failure_is_returned_even_if_the_first_copy_succeeded() {
    let app = TestApp::new().await;
    ["r1", "r2"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "r2", Effect::http(500)));

    let run = app
        .run(fifo([("m1", "g", expired("r1")), ("m2", "g", expired("r2")), ("m3", "g", expired("r1"))]))
        .await;

    assert_eq!(run.returned(), ["m2", "m3"]);
    assert_eq!(run.outcome("m3"), "deferred");
}

#[tokio::test]
async fn an_event_in_several_fifo_groups_is_processed_once_for_the_groups_that_are_not_blocked() {
    let app = TestApp::new().await;
    ["r0", "r1"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "r0", Effect::http(500)));

    let run = app
        .run(fifo([
            ("a1", "a", expired("r0")),
            ("a2", "a", expired("r1")),
            ("b1", "b", expired("r1")),
            ("c1", "c", expired("r1")),
            ("d1", "d", expired("r1")),
        ]))
        .await;

    assert_eq!(run.returned(), ["a1", "a2"]);
    assert_eq!(requested_statuses(&app, "r1"), ["EXPIRED"]);
}

#[tokio::test]
async fn fifo_groups_run_concurrently_but_records_of_one_reservation_run_in_order() {
    let app = TestApp::new().await;
    ["slow", "r1", "other"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "slow", Effect::latency(50)));

    let run = app
        .run(fifo([
            ("m1", "a", expired("slow")),
            ("m2", "a", expired("r1")),
            ("m3", "b", approved("r1")),
            ("m4", "c", expired("other")),
        ]))
        .await;

    let order: Vec<_> = app.services.calls().iter().map(|call| call.reservation_id.clone()).collect();
    let first_of = |id: &str| order.iter().position(|other| other == id).unwrap();
    assert!(first_of("other") < first_of("r1"), "{order:?}");
    assert_eq!(requested_statuses(&app, "r1"), ["EXPIRED", "CONFIRMED"]);
    assert_eq!(run.returned(), ["m3"]);
}

#[tokio::test]
async fn a_service_that_restarts_between_batches_is_used_again() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = TestApp::new().await;
        app.hold("before");
        app.hold("after");

        assert_eq!(app.run(sqs([("m1", approved("before"))])).await.returned(), [""; 0]);
        app.services.stop(service).await;
        let run = app.run(sqs([("m2", approved("after"))])).await;
        assert_eq!((run.returned(), run.outcome("m2")), (vec!["m2"], "retried"), "{service:?}");
        app.services.restart(service).await.unwrap();
        assert_eq!(app.run(sqs([("m3", approved("after"))])).await.returned(), [""; 0], "{service:?}");

        assert_eq!(app.services.seat_state("after"), Some(SeatState::Sold));
    }
}

#[tokio::test]
async fn the_response_lists_each_returned_message_once_in_the_order_of_the_batch() {
    let app = TestApp::new().await;
    app.hold("r1");

    let poison = || json!("poison");
    let records = [
        ("z", poison()),
        ("twice", poison()),
        ("m1", expired("r1")),
        ("twice", expired("r1")),
        ("a", poison()),
    ];
    let run = app.run(sqs(records)).await;

    assert_eq!(
        run.response,
        json!({ "batchItemFailures": [
            { "itemIdentifier": "z" },
            { "itemIdentifier": "twice" },
            { "itemIdentifier": "a" },
        ]})
    );
}

#[tokio::test]
async fn a_batch_in_which_every_record_fails_gets_a_normal_response() {
    let run = TestApp::new().await.run(sqs([("m1", json!("1")), ("m2", json!("2"))])).await;
    assert_eq!(run.returned(), ["m1", "m2"]);
}

#[tokio::test]
async fn an_empty_batch_gets_an_empty_list() {
    let run = TestApp::new().await.run(json!({ "Records": [] })).await;
    assert_eq!(run.response, json!({ "batchItemFailures": [] }));
}

#[tokio::test]
async fn an_event_with_a_record_that_cannot_be_returned_fails_before_any_work() {
    type Case = (&'static str, fn(&mut Value), &'static str);
    let cases: [Case; 4] = [
        ("null id", |record| record["messageId"] = Value::Null, "Records[1].messageId: is missing or empty"),
        ("empty id", |record| record["messageId"] = json!(""), "Records[1].messageId: is missing or empty"),
        (
            "no id",
            |record| drop(record.as_object_mut().unwrap().remove("messageId")),
            "Records[1].messageId: is missing or empty",
        ),
        (
            "not SQS",
            |record| record["eventSource"] = json!("aws:s3"),
            "Records[1].eventSource: is not aws:sqs",
        ),
    ];
    for (name, corrupt, reason) in cases {
        let app = TestApp::new().await;
        app.hold("r1");
        let mut event = sqs([("m1", expired("r1")), ("m2", expired("r1"))]);
        corrupt(&mut event["Records"][1]);

        let error = app.run_in(event, context(HOUR)).await.err().unwrap();

        assert_eq!(error.to_string(), reason, "{name}");
        assert_eq!(app.services.calls(), [], "{name}");
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_at_the_start_is_ignored() {
    let app = TestApp::new().await;
    app.hold("r1");

    // `cargo lambda watch` sends this deadline, which is ten minutes after the start of 1970.
    let run =
        app.run_in(sqs([("m1", expired("r1"))]), context(Duration::from_millis(600_000))).await.unwrap();

    assert_eq!(run.returned(), [""; 0]);
}

#[tokio::test]
async fn no_record_starts_within_the_deadline_reserve() {
    let app = TestApp::new().await;
    app.hold("r1");
    let event = json!({ "Records": [record("m1", expired("r1")), record("m2", json!("poison"))] });

    let run = app.run_within(event, Duration::from_millis(900)).await;

    assert_eq!(run.returned(), ["m1", "m2"]);
    assert_eq!((run.outcome("m1"), run.outcome("m2")), ("deferred", "deferred"));
    assert_eq!(app.services.calls(), []);
    let error = run.log.iter().find(|line| line["reserve_ms"] == 1_000).unwrap();
    assert_eq!(error["level"], "ERROR");
}
