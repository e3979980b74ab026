//! FIFO message groups.

use serde_json::json;
use sqs_batch::{Completion, Settings};

use crate::script::{Script, Scripted, fifo, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn groups_run_concurrently_and_each_in_order() {
    let script = Script::default();
    let records = fifo([("a1", "a", "- 100"), ("a2", "a", "- ok"), ("b1", "b", "- ok"), ("b2", "b", "- ok")]);
    process(&script, settings(), 60, records).await;
    assert_eq!(*script.started.borrow(), ["a1", "b1", "b2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_returned_record_the_rest_of_its_group_is_returned_without_being_handled() {
    let script = Script::default();
    let records = fifo([
        ("a1", "a", "- fail"),
        ("b1", "b", "- ok"),
        ("a2", "a", "- ok"),
        ("a3", "a", "- ok"),
        ("b2", "b", "- ok"),
    ]);

    let batch = process(&script, settings(), 60, records).await;

    assert_eq!(batch.returned, ["a1", "a2", "a3"]);
    assert_eq!(batch.completion("a1"), Completion::Handled(Scripted::Failed));
    assert_eq!(batch.completion("a3"), Completion::GroupBlocked);
    assert_eq!(*script.started.borrow(), ["a1", "b1", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_on_its_last_receive_does_not_block_its_group() {
    let script = Script::default();
    let mut records = fifo([("a1", "a", "- fail"), ("a2", "a", "- ok")]);
    records[0]["attributes"]["ApproximateReceiveCount"] = json!("5");

    let batch = process(&script, settings(), 60, records).await;

    assert_eq!(batch.returned, ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_retry_can_help_does_not_block_its_group() {
    let script = Script::default();
    let records = fifo([
        ("a1", "a", "- reject"),
        ("a2", "a", "- ok"),
        ("a3", "a", "key same-reject"),
        ("a4", "a", "key same-reject"),
        ("a5", "a", "- ok"),
    ]);

    let batch = process(&script, settings(), 60, records).await;

    assert_eq!(batch.returned, ["a1", "a3", "a4"]);
    assert_eq!(batch.completion("a4"), Completion::Shared(Scripted::Rejected));
    assert_eq!(batch.completion("a5"), Completion::Handled(Scripted::Done));
}

#[tokio::test(start_paused = true)]
async fn after_a_record_that_no_retry_can_help_the_next_returned_record_blocks_the_group() {
    for body in ["- fail", "- outage", "- panic"] {
        let script = Script::default();
        let records = fifo([("a1", "a", "- reject"), ("a2", "a", body), ("a3", "a", "- reject")]);

        let batch = process(&script, settings(), 60, records).await;

        assert_eq!(batch.returned, ["a1", "a2", "a3"], "{body}");
        assert_eq!(batch.completion("a3"), Completion::GroupBlocked, "{body}");
        assert_eq!(*script.started.borrow(), ["a1", "a2"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_record_blocks_its_group() {
    let script = Script::default();
    let batch = process(&script, settings(), 5, fifo([("a1", "a", "- hang"), ("a2", "a", "- ok")])).await;
    assert_eq!(batch.returned, ["a1", "a2"]);
    assert_eq!(*script.started.borrow(), ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn in_a_blocked_group_a_record_with_the_same_work_is_returned_too() {
    let script = Script::default();
    let records = fifo([("a1", "a", "key same"), ("a2", "a", "- fail"), ("a3", "a", "key same")]);
    let batch = process(&script, settings(), 60, records).await;
    assert_eq!(batch.returned, ["a2", "a3"]);
    assert_eq!(batch.completion("a3"), Completion::GroupBlocked);
}

#[tokio::test(start_paused = true)]
async fn a_group_on_a_standard_queue_does_not_order_records() {
    let script = Script::default();
    let mut records = standard([("m1", "- fail"), ("m2", "- ok")]);
    for record in records.as_array_mut().unwrap() {
        record["attributes"]["MessageGroupId"] = json!("tenant");
    }
    let batch = process(&script, settings(), 60, records).await;
    assert_eq!(batch.returned, ["m1"]);
}

#[tokio::test(start_paused = true)]
async fn the_setting_of_the_queue_decides_which_receive_is_the_last() {
    for (max_receives, returned) in [(3, ["a1"].as_slice()), (4, &["a1", "a2"])] {
        let script = Script::default();
        let mut records = fifo([("a1", "a", "- fail"), ("a2", "a", "- ok")]);
        records[0]["attributes"]["ApproximateReceiveCount"] = json!("3");

        let batch = process(&script, Settings { max_receives, ..settings() }, 60, records).await;

        assert_eq!(batch.returned, returned, "receive 3 of {max_receives}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_shared_past_a_blocked_record_with_the_same_work() {
    let script = Script::default();
    let records = fifo([
        ("a1", "a", "key same"),
        ("b1", "b", "- fail"),
        ("b2", "b", "key same"),
        ("c1", "c", "key same"),
    ]);

    let batch = process(&script, settings(), 60, records).await;

    assert_eq!(batch.completion("b2"), Completion::GroupBlocked);
    assert_eq!(batch.completion("c1"), Completion::Shared(Scripted::Done));
    assert_eq!(*script.started.borrow(), ["a1", "b1"]);
}
