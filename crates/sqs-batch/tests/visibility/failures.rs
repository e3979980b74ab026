//! Time-outs that could not be changed are reported, and the response stays the same.

use std::time::Duration;

use sqs_batch::Backoff;

use crate::batch::{Failed, Processed, Reason, process, process_within, returned};
use crate::sqs::{Reply, Sqs};

/// The message ids of [`returned`].
fn ids(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("m{number}")).collect()
}

/// Processes this number of returned records with these replies.
async fn process_returned(number: usize, replies: &[Reply]) -> (Processed, Sqs) {
    let sqs = Sqs::replying(replies);
    let batch = process(sqs.visibility(Backoff::default()), returned(number)).await;
    assert_eq!(batch.returned, ids(number));
    (batch, sqs)
}

fn refused(messages: usize, code: &str) -> Failed {
    (messages, Reason::Refused(code.to_owned()))
}

fn call_failed(messages: usize, code: &str) -> Failed {
    (messages, Reason::Call(Some(code.to_owned())))
}

#[tokio::test(start_paused = true)]
async fn refused_entries_are_reported_with_their_number_and_the_code_of_the_first_one() {
    for (from, to) in [(0, 1), (1, 3), (0, 10)] {
        let (batch, _) = process_returned(10, &[Reply::Refused { from, to }]).await;
        assert_eq!(batch.failures, [refused(to - from, &format!("Code{from}"))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_reported_with_its_number_of_messages() {
    for number in [1, 7, 10] {
        let (batch, sqs) = process_returned(number, &[Reply::Failed(403, "AccessDenied")]).await;
        assert_eq!(batch.failures, [call_failed(number, "AccessDenied")]);
        assert_eq!(sqs.calls().len(), 1, "this error is not temporary");
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_batch_succeed_and_fail_independently() {
    let replies = [
        Reply::Refused { from: 2, to: 5 },
        Reply::Accepted,
        Reply::Failed(400, "QueueDoesNotExist"),
        Reply::Failed(403, "AccessDenied"),
    ];
    let (mut batch, sqs) = process_returned(34, &replies).await;
    batch.failures.sort_unstable_by_key(|(messages, _)| *messages);
    assert_eq!(
        batch.failures,
        [refused(3, "Code2"), call_failed(4, "AccessDenied"), call_failed(10, "QueueDoesNotExist"),]
    );
    assert_eq!(sqs.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_error_is_retried_by_the_sdk_and_not_reported() {
    let (batch, sqs) = process_returned(3, &[Reply::Failed(503, "ServiceUnavailable")]).await;
    assert_eq!(batch.failures, []);
    let calls = sqs.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_reply_within_5_seconds_is_reported() {
    let (batch, _) = process_returned(12, &[Reply::Accepted, Reply::None]).await;
    assert_eq!(batch.failures, [(12, Reason::NoReply)]);
    assert!((5_000..5_100).contains(&batch.elapsed.as_millis()), "{:?}", batch.elapsed);

    let (batch, _) = process_returned(2, &[Reply::AcceptedAfter(Duration::from_millis(4_900))]).await;
    assert_eq!(batch.failures, []);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_reserve_is_left_when_the_queue_does_not_reply() {
    // (time of the invocation in s, reserve in ms, wait for the queue in ms)
    for (seconds, reserve, wait) in [(6, 4_000, 4_000), (2, 1_000, 1_500), (4, 4_000, 2_000)] {
        let sqs = Sqs::replying(&[Reply::None]);
        let reserve = Duration::from_millis(reserve);

        let batch = process_within(seconds, reserve, sqs.visibility(Backoff::default()), returned(1)).await;

        assert_eq!(batch.returned, ["m0"]);
        assert_eq!(batch.failures, [(1, Reason::NoReply)]);
        let elapsed = batch.elapsed.as_millis();
        // The invocation ends at a point in time of the wall clock, which continues while the time of the test is
        // paused.
        assert!((wait - 450..=wait).contains(&elapsed), "{elapsed} ms of {seconds} s, reserve {reserve:?}");
    }
}
