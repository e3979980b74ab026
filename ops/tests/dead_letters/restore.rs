//! `restore`, `export` and `undelivered`.

use std::fs;

use serde_json::Value;

use crate::fixture::{Fixture, approved, expired, text};

#[tokio::test]
async fn deleted_letters_are_sent_again_once() {
    let fixture = Fixture::new(false).await;
    fixture.dead(&[approved("r1"), expired("r2")]).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    fixture.run(&["apply", "plan.json", "--backup", "backup.jsonl"]).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0));
    fixture.run(&["restore", "backup.jsonl"]).await.succeeded();
    let again = fixture.run(&["restore", "backup.jsonl"]).await.succeeded();
    assert!(again.stderr.contains("2 letters are not sent"), "{}", again.stderr);
    let mut events = fixture.events().await;
    events.sort();
    let mut expected = [approved("r1"), expired("r2")];
    expected.sort();
    assert_eq!(events, expected);
    let done = fixture.audit("backup.jsonl.audit.jsonl").into_iter().filter(|line| line["step"] == "done");
    assert_eq!(done.count(), 2);
}

#[tokio::test]
async fn a_letter_is_exported_as_the_event_that_lambda_sends() {
    let fixture = Fixture::new(true).await;
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(approved("r1"));
    let send =
        send.message_group_id("r1").message_deduplication_id("1").message_attributes("tenant", text("a"));
    let sent = send.send().await.unwrap();
    let id = sent.message_id().unwrap();
    let arguments = ["export", "--message", id, "--as-lambda-event", "--out", "event.json"];
    fixture.run(&arguments).await.succeeded();
    let event: Value =
        serde_json::from_str(&fs::read_to_string(fixture.path("event.json")).unwrap()).unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["body"], approved("r1"));
    assert_eq!(record["eventSourceARN"], fixture.queue.arn);
    assert_eq!(record["attributes"]["MessageGroupId"], "r1");
    assert_eq!(record["messageAttributes"]["tenant"]["stringValue"], "a");
    let parsed: aws_lambda_events::sqs::SqsEvent = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(parsed.records.len(), 1);
    assert_eq!(fixture.dead_depth().await, (1, 0));
}

#[tokio::test]
async fn undelivered_events_are_explained_and_sent_without_the_attributes_of_their_failure() {
    let fixture = Fixture::new(false).await;
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(expired("r1"));
    let send = send
        .message_attributes("ERROR_CODE", text("NO_PERMISSIONS"))
        .message_attributes("ERROR_MESSAGE", text("not allowed"))
        .message_attributes("RULE_ARN", text("arn:aws:events:ap-northeast-2:123456789012:rule/r"));
    send.send().await.unwrap();
    let rows = fixture.run(&["undelivered", "list", "--output", "json"]).await.succeeded().rows();
    assert_eq!([&rows[0]["reason_code"], &rows[0]["reason"]], ["NO_PERMISSIONS", "not allowed"]);
    assert!(rows[0]["advice"].as_str().unwrap().contains("rule/r"), "{rows:?}");
    fixture.run(&["undelivered", "plan", "--action", "redrive"]).await.succeeded();
    fixture.run(&["undelivered", "apply", "plan.json"]).await.succeeded();
    let [event] = &fixture.event_messages().await[..] else { panic!("one event") };
    assert_eq!(event.body.as_deref(), Some(expired("r1").as_str()));
    assert!(event.message_attributes.as_ref().is_none_or(|attributes| attributes.is_empty()), "{event:?}");
    assert_eq!(fixture.dead_depth().await, (0, 0));
}
