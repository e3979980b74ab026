//! Tests of what the local SQS logs about deletions.

use serde_json::json;

use crate::{mapping, moto, queue, until};

#[tokio::test]
async fn only_deletions_from_the_dead_letter_queue_are_logged_with_their_message_ids() {
    let sqs = moto().await;
    let mut log = sqs.log().unwrap().unwrap();
    let queue = queue(&sqs, "q").await;
    let dead = sqs.client().send_message().queue_url(&queue.dlq_url).message_body("dead");
    let dead = dead.send().await.unwrap();
    queue.send(["one"]).await.unwrap();
    let running = mapping(&queue, &[]).start().await.unwrap();
    until(&running, |stats| stats.done == 1).await;

    queue.delete_dead(|_| true).await.unwrap();

    let lines = log.take_json_lines();
    let deleted: Vec<_> = lines.iter().filter_map(|line| line.get("deleted_dead_letter")).collect();
    assert_eq!(deleted, [&json!(dead.message_id())]);
}
