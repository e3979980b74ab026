//! Contract section 5: order, limits, deadline, panics, and the exact response.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::{Value, json};

use crate::test_app::{TestApp, approved, context, expired, failed, fifo, record, sqs};

mod engine;

const HOUR: Duration = Duration::from_secs(3_600);

fn names<'a>(prefix: &'a str, numbers: impl IntoIterator<Item = usize> + 'a) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{prefix}{number}")).collect()
}

/// The statuses asked for, in the order in which the reservation API heard of them.
fn statuses(app: &TestApp, reservation_id: &str) -> Vec<String> {
    let calls = app.services.calls_for(reservation_id);
    let updates = calls.iter().filter(|call| call.operation == Operation::UpdateStatus);
    updates.map(|call| call.body["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_thousand_records_are_worked_in_one_batch() {
    let app = TestApp::new().await;
    let ids = names("r", 0..1_000);
    ids.iter().for_each(|id| app.hold(id));
    let bodies = ids.iter().enumerate().map(|(number, id)| match number % 3 {
        0 => expired(id),
        1 => approved(id),
        _ => failed(id),
    });

    let ran = app.run(sqs(ids.iter().map(String::as_str).zip(bodies))).await;

    assert_eq!(ran.returned(), [""; 0]);
    for (number, id) in ids.iter().enumerate() {
        let (status, seats) = match number % 3 {
            0 => (Status::Expired, SeatState::Available),
            1 => (Status::Confirmed, SeatState::Sold),
            _ => (Status::Cancelled, SeatState::Available),
        };
        assert_eq!(app.services.reservation(id).unwrap().status, status, "{id}");
        assert_eq!(app.services.seat_state(id), Some(seats), "{id}");
        assert_eq!(ran.outcome(id), "success");
    }
    assert_eq!(app.services.calls().len(), 2_000);
}

#[tokio::test]
async fn the_configured_concurrency_is_reached_and_never_exceeded() {
    for (fifo_queue, group) in [(false, ""), (true, "of its own")] {
        let app = TestApp::with(&[("WORKER_CONCURRENCY", "5")]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(20)));
        let ids = names("r", 0..50);
        ids.iter().for_each(|id| app.hold(id));
        let groups = names(group, 0..50);

        let event = match fifo_queue {
            false => sqs(ids.iter().map(|id| (id.as_str(), expired(id)))),
            true => {
                fifo(ids.iter().zip(&groups).map(|(id, group)| (id.as_str(), group.as_str(), expired(id))))
            }
        };
        let ran = app.run(event).await;

        assert_eq!(ran.returned(), [""; 0]);
        assert_eq!(app.services.peak_in_flight(), 5);
    }
}

#[tokio::test]
async fn one_bad_record_never_costs_another_its_result() {
    let app = TestApp::new().await;
    let ids = names("good", 0..10);
    ids.iter().for_each(|id| app.hold(id));
    app.hold("refused");
    app.services.fault(Fault::on(Operation::UpdateStatus, "refused", Effect::http(422)));
    let mut records: Vec<_> = ids.iter().map(|id| (id.as_str(), approved(id))).collect();
    records.insert(3, ("poison", json!("{")));
    records.insert(0, ("refused", approved("refused")));

    let ran = app.run(sqs(records)).await;

    assert_eq!(ran.returned(), ["refused", "poison"]);
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
    let ran = app.run(sqs(records)).await;

    assert_eq!(statuses(&app, "r1"), ["EXPIRED", "CONFIRMED", "CANCELLED"]);
    assert_eq!(statuses(&app, "r2"), ["CONFIRMED", "EXPIRED"]);
    assert_eq!(ran.returned(), ["m2"], "paid but expired");
    assert_eq!(ran.outcome("m3"), "superseded");
    assert_eq!(ran.outcome("m5"), "superseded");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Available));
    assert_eq!(app.services.seat_state("r2"), Some(SeatState::Sold));
}

#[tokio::test]
async fn on_a_standard_queue_a_failure_does_not_stop_the_reservations_next_record() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.services.fault(Fault::on(Operation::UpdateStatus, "r1", Effect::http(503)).times(3));

    let mut event = sqs([("m1", expired("r1")), ("m2", approved("r1"))]);
    for place in [0, 1] {
        // A fair queue has message groups too; only the ARN says that a queue is FIFO.
        event["Records"][place]["attributes"]["MessageGroupId"] = json!("r1");
    }
    let ran = app.run(event).await;

    assert_eq!(ran.returned(), ["m1"]);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
}

#[tokio::test]
async fn the_same_event_twice_is_worked_once_and_shares_its_outcome() {
    let with_other_envelope = |reservation_id| {
        let mut body = expired(reservation_id);
        body["id"] = json!("another");
        body["detail-type"] = json!("reservation.hold.expired");
        body
    };
    let app = TestApp::new().await;
    ["done", "rejected", "unavailable"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::ReleaseHold, "rejected", Effect::grpc(3)));
    app.services.fault(Fault::on(Operation::ReleaseHold, "unavailable", Effect::grpc(14)));

    let ran = app
        .run(sqs([
            ("m1", expired("done")),
            ("m2", expired("rejected")),
            ("m3", expired("unavailable")),
            ("m4", with_other_envelope("done")),
            ("m5", with_other_envelope("rejected")),
            ("m6", with_other_envelope("unavailable")),
        ]))
        .await;

    assert_eq!(ran.returned(), ["m2", "m3", "m5", "m6"]);
    for (first, second) in [("m1", "m4"), ("m2", "m5"), ("m3", "m6")] {
        assert_eq!(ran.outcome(first), ran.outcome(second));
    }
    for id in ["done", "rejected", "unavailable"] {
        assert_eq!(statuses(&app, id), ["EXPIRED"], "{id}");
    }
}

#[tokio::test]
async fn events_that_differ_are_not_taken_for_one() {
    let app = TestApp::new().await;
    app.hold("r1");
    let mut other = approved("r1");
    other["detail"]["payment_intent_id"] = json!("pay_2");

    let ran = app.run(sqs([("m1", approved("r1")), ("m2", other)])).await;

    assert_eq!(statuses(&app, "r1"), ["CONFIRMED", "CONFIRMED"]);
    assert_eq!(ran.outcome("m1"), "success");
}

#[tokio::test]
async fn in_a_fifo_group_the_rest_after_a_failure_is_returned_untouched() {
    let app = TestApp::new().await;
    ["a1", "a2", "a3", "b1", "b2", "c1", "c2"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "a2", Effect::http(503)));

    let ran = app
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

    assert_eq!(ran.returned(), ["a2", "c0", "a3", "c1", "c2"]);
    for blocked in ["a3", "c1", "c2"] {
        assert_eq!(ran.outcome(blocked), "deferred");
        assert_eq!(app.services.calls_for(blocked), [], "{blocked} was touched");
    }
    assert_eq!(app.services.seat_state("b2"), Some(SeatState::Available));
}

/// What fails on its last receive goes to the DLQ and what comes after it does not wait: it would lose a
/// receive each time, and go there with it.
#[tokio::test]
async fn in_a_fifo_group_a_record_on_its_last_receive_blocks_nothing() {
    for (poison_receives, follower_receives, returned) in [
        ("4", "4", vec!["m0", "m1", "m2"]),
        ("5", "5", vec!["m0"]),
        ("5", "1", vec!["m0"]),
        ("6", "6", vec!["m0"]),
    ] {
        let app = TestApp::new().await;
        ["r1", "r2"].into_iter().for_each(|id| app.hold(id));
        let mut event =
            fifo([("m0", "g", json!("poison")), ("m1", "g", expired("r1")), ("m2", "g", expired("r2"))]);
        for (place, receives) in [poison_receives, follower_receives, follower_receives].iter().enumerate() {
            event["Records"][place]["attributes"]["ApproximateReceiveCount"] = json!(receives);
        }
        assert_eq!(app.run(event).await.returned(), returned, "{poison_receives}");
    }
}

#[tokio::test]
async fn in_a_fifo_group_a_duplicate_after_a_failure_is_returned_even_if_its_first_was_done() {
    let app = TestApp::new().await;
    app.hold("r1");

    let ran = app
        .run(fifo([("m1", "g", expired("r1")), ("m2", "g", json!("poison")), ("m3", "g", expired("r1"))]))
        .await;

    assert_eq!(ran.returned(), ["m2", "m3"]);
    assert_eq!(ran.outcome("m3"), "deferred");
}

#[tokio::test]
async fn the_same_event_in_several_fifo_groups_is_worked_once_where_it_is_not_blocked() {
    let app = TestApp::new().await;
    app.hold("r1");

    let ran = app
        .run(fifo([
            ("a1", "a", json!("poison")),
            ("a2", "a", expired("r1")),
            ("b1", "b", expired("r1")),
            ("c1", "c", expired("r1")),
            ("d1", "d", expired("r1")),
        ]))
        .await;

    assert_eq!(ran.returned(), ["a1", "a2"]);
    assert_eq!(statuses(&app, "r1"), ["EXPIRED"]);
}

#[tokio::test]
async fn fifo_groups_run_side_by_side_and_a_reservation_in_two_groups_in_order() {
    let app = TestApp::new().await;
    ["slow", "r1", "other"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "slow", Effect::latency(50)));

    let ran = app
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
    assert_eq!(statuses(&app, "r1"), ["EXPIRED", "CONFIRMED"]);
    assert_eq!(ran.returned(), ["m3"]);
}

#[tokio::test]
async fn a_service_that_stops_and_starts_between_batches_is_used_again() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = TestApp::new().await;
        app.hold("before");
        app.hold("after");

        assert_eq!(app.run(sqs([("m1", approved("before"))])).await.returned(), [""; 0]);
        app.services.stop(service).await;
        let ran = app.run(sqs([("m2", approved("after"))])).await;
        assert_eq!((ran.returned(), ran.outcome("m2")), (vec!["m2"], "retried"), "{service:?}");
        app.services.restart(service).await.unwrap();
        assert_eq!(app.run(sqs([("m3", approved("after"))])).await.returned(), [""; 0], "{service:?}");

        assert_eq!(app.services.seat_state("after"), Some(SeatState::Sold));
    }
}

#[tokio::test]
async fn the_response_names_each_returned_message_once_in_the_order_of_the_batch() {
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
    let ran = app.run(sqs(records)).await;

    assert_eq!(
        ran.response,
        json!({ "batchItemFailures": [
            { "itemIdentifier": "z" },
            { "itemIdentifier": "twice" },
            { "itemIdentifier": "a" },
        ]})
    );
}

#[tokio::test]
async fn every_record_failing_is_a_normal_response() {
    let ran = TestApp::new().await.run(sqs([("m1", json!("1")), ("m2", json!("2"))])).await;
    assert_eq!(ran.returned(), ["m1", "m2"]);
}

#[tokio::test]
async fn an_empty_batch_answers_an_empty_list() {
    let ran = TestApp::new().await.run(json!({ "Records": [] })).await;
    assert_eq!(ran.response, json!({ "batchItemFailures": [] }));
}

#[tokio::test]
async fn an_event_that_cannot_be_returned_record_by_record_fails_before_any_work() {
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
    for (name, spoil, reason) in cases {
        let app = TestApp::new().await;
        app.hold("r1");
        let mut event = sqs([("m1", expired("r1")), ("m2", expired("r1"))]);
        spoil(&mut event["Records"][1]);

        let error = app.run_in(event, context(HOUR)).await.err().unwrap();

        assert_eq!(error.to_string(), reason, "{name}");
        assert_eq!(app.services.calls(), [], "{name}");
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_at_the_start_is_none() {
    let app = TestApp::new().await;
    app.hold("r1");

    // What `cargo lambda watch` sends.
    let ran =
        app.run_in(sqs([("m1", expired("r1"))]), context(Duration::from_millis(600_000))).await.unwrap();

    assert_eq!(ran.returned(), [""; 0]);
}

#[tokio::test]
async fn within_the_reserve_nothing_is_started() {
    let app = TestApp::new().await;
    app.hold("r1");
    let event = json!({ "Records": [record("m1", expired("r1")), record("m2", json!("poison"))] });

    let ran = app.run_within(event, Duration::from_millis(900)).await;

    assert_eq!(ran.returned(), ["m1", "m2"]);
    assert_eq!((ran.outcome("m1"), ran.outcome("m2")), ("deferred", "deferred"));
    assert_eq!(app.services.calls(), []);
    let told = ran.log.iter().find(|line| line["reserve_ms"] == 1_000).unwrap();
    assert_eq!(told["level"], "ERROR");
}
