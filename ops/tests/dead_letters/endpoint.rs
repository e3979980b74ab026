//! The life of letters over any implementation of SQS: that at `DEAD_LETTERS_ENDPOINT`, or moto. `make test-elasticmq`
//! runs these tests over ElasticMQ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use reservation_worker_local::event_source::Sqs;
use serde_json::{Value, json};

use crate::fixture::{Fixture, approved, expired, failed, text};
use crate::interrupted::{ended, interrupt, start};

pub async fn fixture(fifo: bool) -> Fixture {
    match std::env::var("DEAD_LETTERS_ENDPOINT") {
        Ok(endpoint) => Fixture::over(Sqs::at(&endpoint).await.unwrap(), fifo).await,
        Err(_) => Fixture::new(fifo).await,
    }
}

/// `apply` and `restore` over an endpoint that may have no STS.
const CALLER: [&str; 4] = ["--caller", "tester", "--rate", "1000"];

#[tokio::test]
async fn letters_are_listed_redriven_exported_deleted_and_restored() {
    let fixture = fixture(false).await;
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let trace =
        MessageSystemAttributeValue::builder().data_type("String").string_value(header).build().unwrap();
    let send =
        fixture.sqs.client().send_message().queue_url(&fixture.queue.dlq_url).message_body(expired("r0"));
    let send = send.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace);
    send.message_attributes("tenant", text("a")).send().await.unwrap();
    let letters: Vec<_> = (1..40).map(|number| expired(&format!("r{number}"))).collect();
    fixture.send_dead_letters(&letters).await;
    fixture.send_dead_letters(&["nonsense \u{1f4a3}".to_owned(), approved("r99")]).await;

    let rows = fixture.run(&["list", "--output", "json"]).await.succeeded().rows();
    assert_eq!((rows.len(), fixture.dead_depth().await), (42, (42, 0)));
    fixture.run(&["export", "--reservation", "r99", "--out", "export.jsonl"]).await.succeeded();
    fixture.run(&["plan", "--action", "redrive", "--type", "reservation.expired"]).await.succeeded();
    fixture.run(&[&["apply", "plan.json"], &CALLER[..]].concat()).await.succeeded();
    let events = fixture.event_messages().await;
    let bodies: BTreeSet<_> = events.iter().filter_map(|event| event.body.clone()).collect();
    assert_eq!(bodies, letters.into_iter().chain([expired("r0")]).collect());
    let first = events.iter().find(|event| event.body == Some(expired("r0"))).unwrap();
    assert_eq!(first.message_attributes.as_ref().unwrap()["tenant"].string_value.as_deref(), Some("a"));
    let system = first.attributes.as_ref().unwrap();
    assert!(
        system.iter().any(|(name, value)| name.as_str() == "AWSTraceHeader" && value == header),
        "{system:?}"
    );

    assert_eq!(fixture.dead_depth().await, (2, 0));
    fixture
        .run(&["plan", "--action", "delete", "--reason", "invalid_payload", "--out", "delete.json"])
        .await
        .succeeded();
    let delete = ["apply", "delete.json", "--backup", "backup.jsonl"];
    fixture.run(&[&delete, &CALLER[..]].concat()).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (1, 0));
    fixture.run(&[&["restore", "backup.jsonl"], &CALLER[..]].concat()).await.succeeded();
    assert_eq!(fixture.events().await, ["nonsense \u{1f4a3}"]);
}

#[tokio::test]
async fn the_order_within_each_group_of_a_fifo_queue_is_kept() {
    let fixture = fixture(true).await;
    // More letters in a group than SQS returns at once, so a plan contains only a part.
    let numbered = |number: usize| {
        let mut event: Value = serde_json::from_str(&failed(&format!("r{}", number % 3))).unwrap();
        event["number"] = json!(number);
        event.to_string()
    };
    fixture.send_dead_letters(&(0..45).map(numbered).collect::<Vec<_>>()).await;
    for run in 0.. {
        let plan = format!("plan{run}.json");
        fixture.run(&["plan", "--action", "redrive", "--out", &plan]).await.succeeded();
        fixture.run(&[&["apply", plan.as_str()], &CALLER[..]].concat()).await.succeeded();
        if fixture.dead_depth().await == (0, 0) {
            break;
        }
    }
    let (mut count, mut last) = (0, BTreeMap::new());
    for event in fixture.events().await {
        let event: Value = serde_json::from_str(&event).unwrap();
        let number = event["number"].as_u64();
        let earlier = last.insert(event["detail"]["reservation_id"].to_string(), number);
        assert!(earlier.is_none_or(|earlier| earlier < number), "{earlier:?} before {number:?}");
        count += 1;
    }
    assert_eq!(count, 45);
}

#[tokio::test]
async fn an_interrupted_list_makes_all_letters_visible_again() {
    let fixture = fixture(false).await;
    fixture
        .send_dead_letters(&(0..300).map(|number| expired(&format!("r{number}"))).collect::<Vec<_>>())
        .await;
    let child = start(fixture.command(&["list"]));
    while fixture.dead_depth().await.1 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    interrupt(&child);
    assert_eq!(ended(child).await, Some(130));
    assert_eq!(fixture.dead_depth().await, (300, 0));
}
