//! Contract section 6, "In the queue": the visibility time-outs that the function requests from SQS.

use std::time::Duration;

use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::test_app::{TestApp, expired, fifo, sqs};

const STANDARD: &str = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/reservation-events";

/// Sets the receive count of each record, and a receipt handle that contains the message id.
fn set_receive_count(event: &mut Value, receives: u32) {
    for record in event["Records"].as_array_mut().unwrap() {
        record["receiptHandle"] = json!(format!("handle of {}", record["messageId"].as_str().unwrap()));
        record["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
    }
}

/// The message ids and the requested time-outs in seconds, in the order of the calls.
fn requested_seconds(app: &TestApp) -> Vec<(String, i64)> {
    let changes = app.services.visibility().take();
    let entries = changes.into_iter().flat_map(|change| change.entries);
    entries.map(|entry| (entry.receipt_handle.replace("handle of ", ""), entry.visibility_timeout)).collect()
}

/// Runs one `reservation.expired` record with this fault, and returns the requested time-out in seconds.
async fn time_out_after(app: &TestApp, effect: Effect, receives: u32) -> i64 {
    let id = format!("r-{}", fastrand::u64(..));
    app.hold(&id);
    app.services.fault(Fault::on(Operation::UpdateStatus, &id, effect));
    let mut event = sqs([("m", expired(&id))]);
    set_receive_count(&mut event, receives);
    assert_eq!(app.run(event).await.returned(), ["m"]);
    let [(_, seconds)] = &requested_seconds(app)[..] else { panic!("not exactly one change") };
    *seconds
}

#[tokio::test]
async fn the_back_off_doubles_with_each_receive_and_is_extended_by_up_to_20_percent() {
    let app =
        TestApp::with(&[("MAX_RETRIES", "9"), ("BREAKER_FAILURES", "0"), ("BACKOFF_MAX_MS", "100000")]).await;
    for (receives, least) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 64), (8, 100)] {
        let seconds = time_out_after(&app, Effect::http(500), receives).await;
        let most = (least as f64 * 1.2).ceil() as i64;
        assert!((least..=most).contains(&seconds), "receive {receives}: {seconds} s");
    }
}

#[tokio::test]
async fn a_fraction_of_a_second_is_rounded_up_or_down_at_random() {
    let app = TestApp::with(&[("BACKOFF_BASE_MS", "10500"), ("BREAKER_FAILURES", "0")]).await;
    for _ in 0..5 {
        let seconds = time_out_after(&app, Effect::http(500), 1).await;
        assert!((10..=13).contains(&seconds), "{seconds} s for 10.5 s and up to 20 %");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_the_maximum_back_off() {
    let app = TestApp::with(&[("BACKOFF_MAX_MS", "100000"), ("BREAKER_FAILURES", "0")]).await;
    for (retry_after, least) in [("30", 30), ("0", 1), ("86400", 100)] {
        let seconds = time_out_after(&app, Effect::http(429).with_retry_after(retry_after), 1).await;
        let most = (least as f64 * 1.2).ceil() as i64;
        assert!((least..=most).contains(&seconds), "Retry-After {retry_after}: {seconds} s");
    }
}

#[tokio::test]
async fn records_for_the_dead_letter_queue_get_a_time_out_of_0() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    assert_eq!(time_out_after(&app, Effect::http(400), 1).await, 0, "rejected");
    assert_eq!(time_out_after(&app, Effect::http(500), 5).await, 0, "the last receive");
    assert_eq!(time_out_after(&app, Effect::http(500), 6).await, 0, "after the last receive");
    assert_eq!(
        time_out_after(&app, Effect::http(429).with_retry_after("60"), 5).await,
        0,
        "the last receive"
    );

    let mut poison = sqs([("m", json!("poison"))]);
    set_receive_count(&mut poison, 1);
    app.run(poison).await;
    assert_eq!(requested_seconds(&app), [("m".to_owned(), 0)]);
}

#[tokio::test]
async fn acknowledged_records_get_no_time_out_and_without_returned_records_no_call_is_made() {
    let app = TestApp::new().await;
    app.hold("good");
    app.run(sqs([("m1", expired("good"))])).await;
    assert_eq!(requested_seconds(&app), []);

    let mut event = sqs([("m1", expired("good")), ("m2", json!("poison"))]);
    set_receive_count(&mut event, 1);
    let run = app.run(event).await;
    assert_eq!(requested_seconds(&app), [("m2".to_owned(), 0)]);
    assert_eq!(run.log.len(), 2, "only the summary lines are logged: {:?}", run.log);
}

#[tokio::test]
async fn one_call_changes_at_most_ten_records() {
    let app = TestApp::new().await;
    let ids: Vec<_> = (0..25).map(|number| format!("m{number}")).collect();
    let mut event = sqs(ids.iter().map(|id| (id.as_str(), json!("poison"))));
    set_receive_count(&mut event, 1);

    app.run(event).await;

    let changes = app.services.visibility().take();
    let mut sizes: Vec<_> = changes.iter().map(|change| change.entries.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10, 10]);
    assert!(changes.iter().all(|change| change.queue_url == STANDARD));
}

#[tokio::test]
async fn the_records_of_a_fifo_group_that_will_be_delivered_again_get_the_same_time_out() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
    ["a1", "a2", "b0", "b1", "c1", "c2"].into_iter().for_each(|id| app.hold(id));
    app.services.fault(Fault::on(Operation::UpdateStatus, "a1", Effect::http(500)));
    app.services.fault(Fault::on(Operation::UpdateStatus, "c1", Effect::http(400)));
    let mut event = fifo([
        ("a1", "a", expired("a1")),
        ("b0", "b", expired("b0")),
        ("a2", "a", expired("a2")),
        ("c1", "c", expired("c1")),
        ("c2", "c", expired("c2")),
        ("b1", "b", expired("b1")),
    ]);
    set_receive_count(&mut event, 4);

    assert_eq!(app.run(event).await.returned(), ["a1", "a2", "c1"]);

    let seconds = requested_seconds(&app);
    let seconds_of = |id: &str| seconds.iter().find(|(message, _)| message == id).unwrap().1;
    assert!((8..=10).contains(&seconds_of("a1")), "{seconds:?}");
    assert_eq!(seconds_of("a2"), seconds_of("a1"));
    assert_eq!(seconds_of("c1"), 0, "a rejected record goes to the dead-letter queue and blocks nothing");
    assert_eq!(seconds.len(), 3);
}

#[tokio::test]
async fn the_queue_url_is_derived_from_the_arn_in_every_partition() {
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
async fn a_configured_queue_url_takes_precedence() {
    let app = TestApp::with(&[("SQS_QUEUE_URL", "http://localhost:9324/000000000000/q")]).await;
    app.run(sqs([("m", json!("poison"))])).await;
    assert_eq!(app.services.visibility().take()[0].queue_url, "http://localhost:9324/000000000000/q");
}

#[tokio::test]
async fn a_configured_queue_url_requires_no_arn() {
    let app = TestApp::with(&[("SQS_QUEUE_URL", "http://localhost:9324/000000000000/q")]).await;
    let mut event = sqs([("m", json!("poison"))]);
    event["Records"][0]["eventSourceARN"] = json!("not an arn");
    assert_eq!(app.run(event).await.returned(), ["m"]);
    assert_eq!(app.services.visibility().take()[0].queue_url, "http://localhost:9324/000000000000/q");
}

#[tokio::test]
async fn a_failed_change_is_logged_once_and_the_response_is_unchanged() {
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
        set_receive_count(&mut event, 1);

        let run = app.run(event).await;

        assert_eq!(run.returned(), ["m1", "m2"]);
        let logged: Vec<_> =
            run.log.iter().filter(|line| line["message"] == "visibility time-outs not changed").collect();
        assert_eq!(logged.len(), 1, "{:?}", run.log);
        assert_eq!((&logged[0]["failed"], &logged[0]["reason"]), (&json!(failed), &json!(reason)));
        assert_eq!(logged[0]["request_id"], "request-1");
    }
}

#[tokio::test]
async fn a_queue_that_does_not_answer_does_not_delay_the_response_beyond_the_deadline() {
    let app = TestApp::with(&[("DEADLINE_RESERVE_MS", "400")]).await;
    app.services.visibility().set_behaviour(VisibilityBehaviour::Hang);
    let limit = Duration::from_secs(2);

    let run =
        tokio::time::timeout(limit, app.run_within(sqs([("m", json!("poison"))]), limit)).await.unwrap();

    assert_eq!(run.returned(), ["m"]);
    assert!(run.text.contains("no reply in time"), "{}", run.text);
}

#[tokio::test]
async fn records_without_a_queue_or_a_receipt_handle_are_returned_as_usual() {
    for (field, value) in [
        ("eventSourceARN", json!("not an arn")),
        ("eventSourceARN", Value::Null),
        ("receiptHandle", Value::Null),
    ] {
        let app = TestApp::new().await;
        let mut event = sqs([("m", json!("poison"))]);
        event["Records"][0][field] = value;
        assert_eq!(app.run(event).await.returned(), ["m"]);
        assert_eq!(requested_seconds(&app), []);
    }
}
