//! Contract section 6, "in the queue": what the queue is asked for, as seen on the wire.

use std::time::Duration;

use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::test_app::{TestApp, expired, fifo, sqs};

mod client;

const STANDARD: &str = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/reservation-events";

/// A record that was received so often, with a receipt handle that names its message.
fn received(event: &mut Value, times: u32) {
    for record in event["Records"].as_array_mut().unwrap() {
        record["receiptHandle"] = json!(format!("handle of {}", record["messageId"].as_str().unwrap()));
        record["attributes"]["ApproximateReceiveCount"] = json!(times.to_string());
    }
}

/// The seconds asked for each message, in the order of the calls.
fn seconds(app: &TestApp) -> Vec<(String, i64)> {
    let changes = app.services.visibility().take();
    let entries = changes.into_iter().flat_map(|change| change.entries);
    entries.map(|entry| (entry.receipt_handle.replace("handle of ", ""), entry.visibility_timeout)).collect()
}

/// Runs one expiry that meets this fault.
async fn one(app: &TestApp, effect: Effect, times: u32) -> i64 {
    let id = format!("r-{}", fastrand::u64(..));
    app.hold(&id);
    app.services.fault(Fault::on(Operation::UpdateStatus, &id, effect));
    let mut event = sqs([("m", expired(&id))]);
    received(&mut event, times);
    assert_eq!(app.run(event).await.returned(), ["m"]);
    let [(_, seconds)] = &seconds(app)[..] else { panic!("not one change") };
    *seconds
}

#[tokio::test]
async fn the_back_off_doubles_with_each_receive_and_gets_up_to_a_fifth_more() {
    let app =
        TestApp::with(&[("MAX_RETRIES", "9"), ("BREAKER_FAILURES", "0"), ("BACKOFF_MAX_MS", "100000")]).await;
    for (times, least) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 64), (8, 100)] {
        let seconds = one(&app, Effect::http(500), times).await;
        let most = (least as f64 * 1.2).round() as i64;
        assert!((least..=most).contains(&seconds), "receive {times}: {seconds} s");
    }
}

#[tokio::test]
async fn the_back_off_is_rounded_up_to_whole_seconds() {
    let app = TestApp::with(&[("BACKOFF_BASE_MS", "10100"), ("BREAKER_FAILURES", "0")]).await;
    let seconds = one(&app, Effect::http(500), 1).await;
    assert!((11..=13).contains(&seconds), "{seconds} s");
}

#[tokio::test]
async fn the_queue_waits_as_long_as_the_service_asks_up_to_the_longest_back_off() {
    let app = TestApp::with(&[("BACKOFF_MAX_MS", "100000"), ("BREAKER_FAILURES", "0")]).await;
    for (asked, least) in [("30", 30), ("0", 1), ("86400", 100)] {
        let seconds = one(&app, Effect::http(429).with_retry_after(asked), 1).await;
        let most = (least as f64 * 1.2).round() as i64;
        assert!((least..=most).contains(&seconds), "Retry-After {asked}: {seconds} s");
    }
}

#[tokio::test]
async fn what_is_bound_for_the_dead_letter_queue_goes_at_once() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    assert_eq!(one(&app, Effect::http(404), 1).await, 0, "rejected");
    assert_eq!(one(&app, Effect::http(500), 5).await, 0, "the last receive");
    assert_eq!(one(&app, Effect::http(500), 6).await, 0, "after the last receive");
    assert_eq!(one(&app, Effect::http(429).with_retry_after("60"), 5).await, 0, "the last receive");

    let mut poison = sqs([("m", json!("poison"))]);
    received(&mut poison, 1);
    app.run(poison).await;
    assert_eq!(seconds(&app), [("m".to_owned(), 0)]);
}

#[tokio::test]
async fn acknowledged_records_are_left_alone_and_a_clean_batch_asks_for_nothing() {
    let app = TestApp::new().await;
    app.hold("good");
    app.run(sqs([("m1", expired("good"))])).await;
    assert_eq!(seconds(&app), []);

    let mut event = sqs([("m1", expired("good")), ("m2", json!("poison"))]);
    received(&mut event, 1);
    let ran = app.run(event).await;
    assert_eq!(seconds(&app), [("m2".to_owned(), 0)]);
    assert_eq!(ran.log.len(), 2, "nothing went wrong: {:?}", ran.log);
}

#[tokio::test]
async fn returned_records_are_changed_ten_a_call() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (0..25).map(|number| format!("m{number}")).collect();
    let mut event = sqs(ids.iter().map(|id| (id.as_str(), json!("poison"))));
    received(&mut event, 1);

    app.run(event).await;

    let changes = app.services.visibility().take();
    let mut sizes: Vec<_> = changes.iter().map(|change| change.entries.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10, 10]);
    assert!(changes.iter().all(|change| change.queue_url == STANDARD));
}

#[tokio::test]
async fn the_returned_part_of_a_fifo_group_gets_one_value() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    ["a1", "a2", "b0", "b1", "c1", "c2"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "a1", Effect::http(500)));
    app.services.fault(Fault::on(Operation::UpdateStatus, "c1", Effect::http(404)));
    let mut event = fifo([
        ("a1", "a", expired("a1")),
        ("b0", "b", expired("b0")),
        ("a2", "a", expired("a2")),
        ("c1", "c", expired("c1")),
        ("c2", "c", expired("c2")),
        ("b1", "b", expired("b1")),
    ]);
    received(&mut event, 4);

    assert_eq!(app.run(event).await.returned(), ["a1", "a2", "c1", "c2"]);

    let seconds = seconds(&app);
    let of = |id: &str| seconds.iter().find(|(message, _)| message == id).unwrap().1;
    assert!((8..=10).contains(&of("a1")), "{seconds:?}");
    assert_eq!(of("a2"), of("a1"));
    assert_eq!((of("c1"), of("c2")), (0, 0));
    assert_eq!(seconds.len(), 4);
}

#[tokio::test]
async fn the_queues_url_comes_from_its_arn_in_every_partition() {
    let cases = [
        ("arn:aws:sqs:eu-west-1:111122223333:q", "https://sqs.eu-west-1.amazonaws.com/111122223333/q"),
        ("arn:aws-cn:sqs:cn-north-1:1:q", "https://sqs.cn-north-1.amazonaws.com.cn/1/q"),
        ("arn:aws-eusc:sqs:eusc-de-east-1:1:q", "https://sqs.eusc-de-east-1.amazonaws.eu/1/q"),
        ("arn:aws-iso:sqs:us-iso-east-1:1:q", "https://sqs.us-iso-east-1.c2s.ic.gov/1/q"),
        ("arn:aws-iso-b:sqs:us-isob-east-1:1:q", "https://sqs.us-isob-east-1.sc2s.sgov.gov/1/q"),
        ("arn:aws-iso-e:sqs:eu-isoe-west-1:1:q", "https://sqs.eu-isoe-west-1.cloud.adc-e.uk/1/q"),
        ("arn:aws-iso-f:sqs:us-isof-south-1:1:q", "https://sqs.us-isof-south-1.csp.hci.ic.gov/1/q"),
        ("arn:aws-us-gov:sqs:us-gov-west-1:1:q", "https://sqs.us-gov-west-1.amazonaws.com/1/q"),
        ("arn:aws:sqs:eu-west-1:1:q.fifo", "https://sqs.eu-west-1.amazonaws.com/1/q.fifo"),
    ];
    for (arn, url) in cases {
        let app = TestApp::new().await;
        let mut event = sqs([("m", json!("poison"))]);
        event["Records"][0]["eventSourceARN"] = json!(arn);
        app.run(event).await;
        assert_eq!(app.services.visibility().take()[0].queue_url, url);
    }
}

#[tokio::test]
async fn the_operators_queue_url_goes_first() {
    let app = TestApp::with(&[("SQS_QUEUE_URL", "http://localhost:9324/000000000000/q")]).await;
    app.run(sqs([("m", json!("poison"))])).await;
    assert_eq!(app.services.visibility().take()[0].queue_url, "http://localhost:9324/000000000000/q");
}

#[tokio::test]
async fn the_operators_queue_url_needs_no_arn() {
    let app = TestApp::with(&[("SQS_QUEUE_URL", "http://localhost:9324/000000000000/q")]).await;
    let mut event = sqs([("m", json!("poison"))]);
    event["Records"][0]["eventSourceARN"] = json!("not an arn");
    assert_eq!(app.run(event).await.returned(), ["m"]);
    assert_eq!(app.services.visibility().take()[0].queue_url, "http://localhost:9324/000000000000/q");
}

#[tokio::test]
async fn whatever_goes_wrong_is_told_once_and_the_response_is_the_same() {
    let cases = [
        (
            VisibilityBehaviour::EntryFails("m1".to_owned(), "ReceiptHandleIsInvalid"),
            1,
            "ReceiptHandleIsInvalid",
        ),
        (VisibilityBehaviour::CallFails(403, "AccessDenied"), 2, "AccessDenied"),
    ];
    for (answer, failed, reason) in cases {
        let app = TestApp::new().await;
        app.services.visibility().set_behaviour(answer);
        let mut event = sqs([("m1", json!("poison")), ("m2", json!("poison"))]);
        received(&mut event, 1);

        let ran = app.run(event).await;

        assert_eq!(ran.returned(), ["m1", "m2"]);
        let told: Vec<_> =
            ran.log.iter().filter(|line| line["message"] == "visibility time-outs not changed").collect();
        assert_eq!(told.len(), 1, "{:?}", ran.log);
        assert_eq!((&told[0]["failed"], &told[0]["reason"]), (&json!(failed), &json!(reason)));
        assert_eq!(told[0]["request_id"], "request-1");
    }
}

#[tokio::test]
async fn a_queue_that_does_not_answer_does_not_hold_the_response_beyond_the_deadline() {
    let app = TestApp::with(&[("DEADLINE_RESERVE_MS", "400")]).await;
    app.services.visibility().set_behaviour(VisibilityBehaviour::Hang);
    let limit = Duration::from_secs(2);

    let ran =
        tokio::time::timeout(limit, app.run_within(sqs([("m", json!("poison"))]), limit)).await.unwrap();

    assert_eq!(ran.returned(), ["m"]);
    assert!(ran.text.contains("no answer in time"), "{}", ran.text);
}

#[tokio::test]
async fn records_without_a_queue_or_a_receipt_are_returned_all_the_same() {
    for (field, value) in [
        ("eventSourceARN", json!("not an arn")),
        ("eventSourceARN", Value::Null),
        ("receiptHandle", Value::Null),
    ] {
        let app = TestApp::new().await;
        let mut event = sqs([("m", json!("poison"))]);
        event["Records"][0][field] = value;
        assert_eq!(app.run(event).await.returned(), ["m"]);
        assert_eq!(seconds(&app), []);
    }
}
