//! Which messages get which time-out, and in which calls.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use sqs_batch::{Backoff, BatchProcessor, Settings};

use crate::batch::{QUEUE_URL, Script, event, fifo, process, process_within, record, returned, standard};
use crate::sqs::{Reply, Sqs};

/// So long that the jitter gives two records the same number of seconds only by a rare coincidence.
const LONG: Backoff =
    Backoff { base: Duration::from_secs(1_000), max: Duration::from_secs(30_000), outage: Vec::new() };

/// The default list for outages.
fn long_with_outage() -> Backoff {
    Backoff { outage: Backoff::default().outage, ..LONG }
}

#[tokio::test(start_paused = true)]
async fn only_returned_records_get_a_time_out() {
    let sqs = Sqs::default();
    let records = standard([("m1", "done"), ("m2", "retry"), ("m3", "done"), ("m4", "reject")]);

    let batch = process(sqs.visibility(Backoff::default()), records).await;

    assert_eq!(batch.returned, ["m2", "m4"]);
    assert_eq!(batch.failures, []);
    let handles: Vec<_> = sqs.entries().into_iter().map(|entry| entry.receipt_handle).collect();
    assert_eq!(handles, ["handle of m2", "handle of m4"]);
    assert_eq!(sqs.calls()[0].queue_url, QUEUE_URL);
}

#[tokio::test(start_paused = true)]
async fn without_a_returned_record_no_client_is_made() {
    for records in [json!([]), standard([("m1", "done"), ("m2", "done")])] {
        let sqs = Sqs::default();
        let batch = process(sqs.visibility(Backoff::default()), records).await;
        assert_eq!(batch.failures, []);
        assert_eq!(sqs.clients(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_made_once_for_all_batches() {
    let sqs = Sqs::default();
    let visibility = sqs.visibility(Backoff::default());
    let processor = BatchProcessor::new(Script, Settings::default()).with_visibility(visibility);

    for _ in 0..2 {
        let (one, other) = tokio::join!(
            processor.handle(event(standard([("m1", "retry")]), 60)),
            processor.handle(event(standard([("m2", "retry")]), 60)),
        );
        assert_eq!(
            (one.unwrap().batch_item_failures.len(), other.unwrap().batch_item_failures.len()),
            (1, 1)
        );
    }

    assert_eq!(sqs.clients().len(), 1);
    assert_eq!(sqs.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn each_call_has_at_most_ten_entries_with_unique_ids() {
    for (number, expected) in [(1, vec![1]), (10, vec![10]), (11, vec![10, 1]), (25, vec![10, 10, 5])] {
        let sqs = Sqs::default();

        let batch = process(sqs.visibility(Backoff::default()), returned(number)).await;

        assert_eq!(batch.failures, []);
        let calls = sqs.calls();
        let sizes: Vec<_> = calls.iter().map(|call| call.entries.len()).collect();
        assert_eq!(sizes, expected);
        for call in &calls {
            let ids: HashSet<_> = call.entries.iter().map(|entry| &entry.id).collect();
            assert_eq!(ids.len(), call.entries.len(), "{ids:?}");
        }
        let handles: Vec<_> = sqs.entries().into_iter().map(|entry| entry.receipt_handle).collect();
        let each_once: Vec<_> = (0..number).map(|number| format!("handle of m{number}")).collect();
        assert_eq!(handles, each_once);
    }
}

#[tokio::test(start_paused = true)]
async fn ten_calls_are_in_progress_at_once() {
    let second = Duration::from_secs(1);
    let sqs = Sqs::replying(&[Reply::AcceptedAfter(second); 40]);

    let batch = process(sqs.visibility(Backoff::default()), returned(400)).await;

    assert_eq!(batch.failures, []);
    assert_eq!((sqs.calls().len(), sqs.peak()), (40, 10));
    assert!((4_000..4_100).contains(&batch.elapsed.as_millis()), "{:?}", batch.elapsed);
}

#[tokio::test(start_paused = true)]
async fn the_time_out_depends_on_the_receive_count_and_the_outcome() {
    let cases = [
        ("retry", 1, 1_000..=1_200),
        ("retry", 2, 2_000..=2_400),
        ("retry", 4, 8_000..=9_600),
        ("retry", 5, 0..=0),
        ("retry", 6, 0..=0),
        ("retry after 600 s", 1, 1_000..=1_200),
        ("inventory down", 1, 1..=2),
        ("inventory down", 2, 30..=36),
        ("inventory down", 3, 600..=720),
        ("inventory down", 4, 600..=720),
        ("inventory down", 5, 0..=0),
        ("inventory down, after 900 s", 2, 900..=1_080),
        ("inventory down, after 900 s", 5, 0..=0),
        ("reject", 1, 0..=0),
        ("panic", 2, 2_000..=2_400),
        ("hang", 3, 4_000..=4_800),
    ];
    for (body, receives, expected) in cases {
        let sqs = Sqs::default();
        process(sqs.visibility(long_with_outage()), json!([record("m1", body, receives)])).await;
        let seconds = sqs.seconds_of("m1");
        assert!(expected.contains(&seconds), "{body}, receive {receives}: {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requested_time_extends_the_back_off() {
    let sqs = Sqs::default();
    let records = standard([("m1", "retry after 600 s"), ("m2", "retry")]);
    process(sqs.visibility(Backoff::default()), records).await;
    assert!((600..=720).contains(&sqs.seconds_of("m1")));
    assert!((1..=2).contains(&sqs.seconds_of("m2")), "up to 1.2 s, rounded up or down");
}

#[tokio::test(start_paused = true)]
async fn records_that_were_not_started_get_the_back_off() {
    let sqs = Sqs::default();
    let reserve = Duration::from_secs(60);

    let batch = process_within(60, reserve, sqs.visibility(LONG), standard([("m1", "done")])).await;

    assert_eq!(batch.returned, ["m1"]);
    assert!((1_000..=1_200).contains(&sqs.seconds_of("m1")));
}

#[tokio::test(start_paused = true)]
async fn each_record_of_a_standard_queue_has_its_own_jitter() {
    let sqs = Sqs::default();
    process(sqs.visibility(LONG), returned(100)).await;
    let seconds: HashSet<_> = sqs.entries().into_iter().map(|entry| entry.seconds).collect();
    assert!(seconds.len() > 10, "{seconds:?}");
    assert!(seconds.iter().all(|seconds| (1_000..=1_200).contains(seconds)), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn all_returned_records_of_a_fifo_group_get_the_time_out_of_the_first_one() {
    let sqs = Sqs::default();
    let records = fifo([
        ("a0", "a", "done", 1),
        ("a1", "a", "retry", 4),
        ("b1", "b", "retry", 1),
        ("a2", "a", "done", 1),
        ("b2", "b", "done", 3),
        ("a3", "a", "done", 2),
    ]);

    let batch = process(sqs.visibility(LONG), records).await;

    assert_eq!(batch.returned, ["a1", "b1", "a2", "b2", "a3"]);
    assert!((8_000..=9_600).contains(&sqs.seconds_of("a1")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("a2"), sqs.seconds_of("a1"));
    assert_eq!(sqs.seconds_of("a3"), sqs.seconds_of("a1"));
    assert!((1_000..=1_200).contains(&sqs.seconds_of("b1")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("b2"), sqs.seconds_of("b1"));
}

#[tokio::test(start_paused = true)]
async fn in_a_fifo_group_a_record_that_goes_to_the_dead_letter_queue_gets_0_and_the_others_one_time_out() {
    let sqs = Sqs::default();
    let records = fifo([
        ("a1", "a", "reject", 1),
        ("a2", "a", "retry", 5),
        ("a3", "a", "done", 1),
        ("a4", "a", "retry", 2),
        ("a5", "a", "done", 1),
        ("a6", "a", "done", 5),
        ("b1", "b", "reject", 1),
        ("b2", "b", "done", 1),
    ]);

    let batch = process(sqs.visibility(LONG), records).await;

    assert_eq!(batch.returned, ["a1", "a2", "a4", "a5", "a6", "b1"]);
    for id in ["a1", "a2", "a6", "b1"] {
        assert_eq!(sqs.seconds_of(id), 0, "{id}");
    }
    assert!((2_000..=2_400).contains(&sqs.seconds_of("a4")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("a5"), sqs.seconds_of("a4"));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_gets_the_outage_back_off_if_its_first_returned_record_has_it() {
    let sqs = Sqs::default();
    let records = fifo([
        ("a1", "a", "inventory down", 3),
        ("a2", "a", "done", 1),
        ("b1", "b", "retry", 1),
        ("b2", "b", "inventory down", 3),
    ]);
    process(sqs.visibility(long_with_outage()), records).await;
    assert!((600..=720).contains(&sqs.seconds_of("a1")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("a2"), sqs.seconds_of("a1"));
    assert!((1_000..=1_200).contains(&sqs.seconds_of("b1")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("b2"), sqs.seconds_of("b1"));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_receipt_handle_is_returned_without_a_time_out() {
    let sqs = Sqs::default();
    let mut records = returned(3);
    records[1]["receiptHandle"] = Value::Null;

    let batch = process(sqs.visibility(Backoff::default()), records).await;

    assert_eq!(batch.returned, ["m0", "m1", "m2"]);
    assert_eq!(batch.failures, []);
    let handles: Vec<_> = sqs.entries().into_iter().map(|entry| entry.receipt_handle).collect();
    assert_eq!(handles, ["handle of m0", "handle of m2"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_receipt_handle_no_client_is_made() {
    let sqs = Sqs::default();
    let mut records = returned(1);
    records[0]["receiptHandle"] = Value::Null;

    let batch = process(sqs.visibility(Backoff::default()), records).await;

    assert_eq!(batch.returned, ["m0"]);
    assert_eq!(batch.failures, []);
    assert_eq!(sqs.clients(), []);
}

#[tokio::test(start_paused = true)]
async fn the_setting_of_the_queue_decides_which_receive_is_the_last() {
    let sqs = Sqs::default();
    let settings = Settings { max_receives: 3, ..Settings::default() };
    let processor = BatchProcessor::new(Script, settings).with_visibility(sqs.visibility(LONG));
    let records = json!([record("m1", "retry", 2), record("m2", "retry", 3)]);

    processor.handle(event(records, 60)).await.unwrap();

    assert!((2_000..=2_400).contains(&sqs.seconds_of("m1")), "{:?}", sqs.entries());
    assert_eq!(sqs.seconds_of("m2"), 0);
}
