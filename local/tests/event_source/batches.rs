//! The limits of a batch: `BatchSize`, the batch window and the payload limit of 6 MiB.

use std::time::Duration;

use reservation_worker_local::event_source::Mapping;
use serde_json::Value;

use crate::{LONG, invocations, mapping, moto, queue, until};

/// The values of a numeric field, one for each invocation.
fn numbers(invocations: &[Value], name: &str) -> Vec<u64> {
    invocations.iter().map(|invocation| invocation[name].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_full_batch_does_not_wait_for_its_window_and_is_deleted_in_calls_of_ten() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send((0..25).map(|number| number.to_string())).await.unwrap();

    let mapping = Mapping { batch_size: 25, window: LONG, ..mapping(&queue, &[]) };
    let running = mapping.start().await.unwrap();
    let stats = until(&running, |stats| stats.done == 25).await;

    assert_eq!(numbers(&invocations(&running), "count"), [25]);
    assert_eq!((stats.invocations, stats.returned), (1, 0));
    assert_eq!(sqs.deletions(), [10, 10, 5]);
    assert_eq!(queue.depth().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_batch_that_is_not_full_is_sent_at_the_end_of_its_window() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send((0..25).map(|number| number.to_string())).await.unwrap();

    let window = Duration::from_secs(1);
    let mapping = Mapping { batch_size: 10_000, window, ..mapping(&queue, &[]) };
    let running = mapping.start().await.unwrap();
    until(&running, |stats| stats.done == 25).await;

    let counts = numbers(&invocations(&running), "count");
    assert!(counts[0] > 10, "{counts:?}");
}

#[tokio::test]
async fn without_a_window_a_batch_contains_the_messages_of_one_receive() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send((0..25).map(|number| number.to_string())).await.unwrap();

    let running = mapping(&queue, &[]).start().await.unwrap();
    until(&running, |stats| stats.done == 25).await;

    assert_eq!(numbers(&invocations(&running), "count"), [10, 10, 5]);
}

#[tokio::test]
async fn no_event_is_larger_than_six_mebibytes() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    for _ in 0..30 {
        queue.send(["x".repeat(250_000)]).await.unwrap();
    }

    let mapping = Mapping { batch_size: 30, window: LONG, ..mapping(&queue, &[]) };
    let running = mapping.start().await.unwrap();
    until(&running, |stats| stats.done == 30).await;

    let invocations = invocations(&running);
    assert_eq!(numbers(&invocations, "count"), [25, 5]);
    let bytes = numbers(&invocations, "bytes");
    assert!(bytes.iter().all(|bytes| *bytes <= 6 * 1024 * 1024), "{bytes:?}");
}

#[tokio::test]
async fn settings_that_aws_would_reject_are_rejected() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    let fifo = sqs.create("f", true, 100, LONG).await.unwrap();
    let second = Duration::from_secs(1);
    for (invalid, reason) in [
        (Mapping { batch_size: 0, ..mapping(&queue, &[]) }, "batch_size"),
        (Mapping { batch_size: 11, ..mapping(&queue, &[]) }, "window"),
        (Mapping { batch_size: 10_001, window: second, ..mapping(&queue, &[]) }, "batch_size"),
        (Mapping { batch_size: 11, window: second, ..mapping(&fifo, &[]) }, "FIFO"),
        (Mapping { window: second, ..mapping(&fifo, &[]) }, "FIFO"),
        (Mapping { maximum_concurrency: 0, ..mapping(&queue, &[]) }, "maximum_concurrency"),
        (Mapping { function: "/no/such/function".into(), ..mapping(&queue, &[]) }, "no function"),
    ] {
        let error = invalid.start().await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
