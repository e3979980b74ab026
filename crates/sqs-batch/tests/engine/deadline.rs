//! The response is ready before the invocation ends.

use std::time::Duration;

use sqs_batch::{BatchProcessor, Completion, Deadline, Handler, Record, Settings};
use tokio::time::{Instant, advance};

use crate::script::{Processed, Script, Scripted, event, fifo, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn records_in_progress_at_the_reserve_are_abandoned_and_waiting_records_do_not_start() {
    let script = Script::default();
    let begin = Instant::now();
    let settings =
        Settings { concurrency: 4, deadline_reserve: Duration::from_secs(1), ..Settings::default() };
    let records =
        standard([("m1", "- hang"), ("m2", "- 100"), ("m3", "key hang"), ("m4", "key ok"), ("m5", "- ok")]);

    let batch = process(&script, settings, 10, records).await;

    assert_eq!(batch.returned, ["m1", "m3", "m4"]);
    assert_eq!(batch.completion("m1"), Completion::Abandoned);
    assert_eq!(batch.completion("m4"), Completion::NotStarted);
    let elapsed = begin.elapsed().as_millis();
    assert!((8_900..=9_000).contains(&elapsed), "{elapsed} ms of 10 s less the reserve of 1 s");
}

#[tokio::test(start_paused = true)]
async fn no_record_starts_with_less_time_than_a_record_needs() {
    let script = Script::default();
    let settings = Settings {
        deadline_reserve: Duration::from_secs(1),
        time_per_record: Duration::from_millis(3_250),
        ..Settings::default()
    };
    let ids = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];

    let batch = process(&script, settings, 20, standard(ids.map(|id| (id, "key 3000")))).await;

    assert_eq!(*script.started.borrow(), ids[..6], "at 0, 3, 6, 9, 12 and 15 s, not at 18 s of 19 s");
    assert_eq!(batch.returned, ["m6", "m7"]);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_time_of_a_batch_is_always_enough_to_start_a_record() {
    let script = Script::default();
    let settings = Settings { time_per_record: Duration::from_secs(60), ..settings() };
    let batch = process(&script, settings, 4, standard([("m1", "- 500")])).await;
    assert_eq!(batch.returned, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_reserve_as_long_as_the_invocation_starts_nothing() {
    let script = Script::default();
    let settings = Settings { deadline_reserve: Duration::from_secs(30), ..settings() };
    let batch = process(&script, settings, 30, standard([("m1", "- ok")])).await;
    assert_eq!(batch.completion("m1"), Completion::NotStarted);
    assert!(script.started.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_means_that_there_is_none() {
    let script = Script::default();
    let processor = BatchProcessor::new(&script, settings());
    let mut event = event(&serde_json::json!({ "Records": standard([("m1", "- 3600000")]) }), 0);
    event.context.deadline = 0;

    let response = processor.handle(event).await.unwrap();

    assert!(response.batch_item_failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_completed_record_keeps_its_outcome_when_another_one_is_abandoned() {
    let script = Script::default();
    let batch = process(&script, settings(), 10, standard([("m1", "- hang"), ("m2", "- fail")])).await;
    assert_eq!(batch.completion("m2"), Completion::Handled(Scripted::Failed));
}

/// `m1` hangs, `m2` and `m3` wait for it, `m4` is done in time.
async fn out_of_time(outcome: fn() -> Scripted) -> Processed {
    let script = Script::out_of_time(outcome);
    let records = standard([("m1", "key hang"), ("m2", "key ok"), ("m3", "key ok"), ("m4", "- ok")]);
    let batch = process(&script, settings(), 10, records).await;
    assert_eq!(batch.returned, ["m1", "m2", "m3"]);
    assert_eq!(batch.completion("m4"), Completion::Handled(Scripted::Done));
    batch
}

#[tokio::test(start_paused = true)]
async fn the_handler_can_replace_the_completion_of_records_for_which_no_time_was_left() {
    let batch = out_of_time(|| Scripted::Outage).await;
    for id in ["m1", "m2", "m3"] {
        assert_eq!(batch.completion(id), Completion::Handled(Scripted::Outage), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_handler_can_replace_the_completion_of_records_that_did_not_start() {
    let script = Script::out_of_time(|| Scripted::Outage);
    let settings = Settings { deadline_reserve: Duration::from_secs(30), ..settings() };
    let batch = process(&script, settings, 30, standard([("m1", "- ok"), ("m2", "- ok")])).await;
    assert_eq!(batch.completion("m1"), Completion::Handled(Scripted::Outage));
    assert_eq!(batch.completion("m2"), Completion::Handled(Scripted::Outage));
    assert!(script.started.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn records_for_which_no_time_was_left_are_never_acknowledged() {
    let batch = out_of_time(|| Scripted::Done).await;
    assert_eq!(batch.completion("m1"), Completion::Abandoned);
    assert_eq!(batch.completion("m2"), Completion::NotStarted);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_out_of_time_leaves_the_completion_of_the_record_unchanged() {
    let outcomes: [fn() -> Scripted; 3] =
        [|| panic!("scripted"), || Scripted::PanicInAcknowledged, || Scripted::PanicInRedelivery];
    for outcome in outcomes {
        let batch = out_of_time(outcome).await;
        assert_eq!(batch.completion("m1"), Completion::Abandoned);
        assert_eq!(batch.completion("m2"), Completion::NotStarted);
    }
}

#[tokio::test(start_paused = true)]
async fn the_handler_cannot_replace_the_completion_of_a_blocked_record_or_of_a_panic() {
    let script = Script::out_of_time(|| Scripted::Outage);
    let records = fifo([("a1", "a", "- fail"), ("a2", "a", "- ok"), ("b1", "b", "- panic")]);
    let batch = process(&script, settings(), 60, records).await;
    assert_eq!(batch.completion("a1"), Completion::Handled(Scripted::Failed));
    assert_eq!(batch.completion("a2"), Completion::GroupBlocked);
    assert_eq!(batch.completion("b1"), Completion::Panicked);
}

/// While `m1` is handled, time passes until exactly this part of the batch's time is left.
struct TimeLeft<F>(F);

impl<F: Fn(Duration) -> Duration> Handler for TimeLeft<F> {
    type Job = ();
    type Outcome = Result<(), ()>;

    async fn handle(&self, record: &Record, _: &(), deadline: Deadline) -> Self::Outcome {
        if record.message_id == "m1" {
            let left = deadline.left();
            advance(left - self.0(left)).await;
        }
        Ok(())
    }
}

/// The ids of the returned ones of two records, which run one after the other. The batch has 59 s.
async fn returned(time_per_record: Duration, time_left: impl Fn(Duration) -> Duration) -> Vec<String> {
    let settings = Settings { concurrency: 1, time_per_record, ..Settings::default() };
    let records = serde_json::json!({ "Records": standard([("m1", ""), ("m2", "")]) });
    let processor = BatchProcessor::new(TimeLeft(time_left), settings);
    let response = processor.handle(event(&records, 60)).await.unwrap();
    response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_starts_with_exactly_the_time_that_it_needs_and_not_with_less() {
    let (second, nanosecond) = (Duration::from_secs(1), Duration::from_nanos(1));
    assert_eq!(returned(second, |_| second).await, [""; 0]);
    assert_eq!(returned(second, |_| second - nanosecond).await, ["m2"]);

    let minute = Duration::from_secs(60);
    assert_eq!(returned(minute, |time| time / 2).await, [""; 0], "half of the time is enough");
    assert_eq!(returned(minute, |time| time / 2 - nanosecond).await, ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_no_record_starts_even_if_records_need_no_time() {
    assert_eq!(returned(Duration::ZERO, |_| Duration::from_nanos(1)).await, [""; 0]);
    // The timer of the deadline fires up to 1 ms late.
    assert_eq!(returned(Duration::ZERO, |_| Duration::ZERO).await, ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_shared_even_if_no_time_is_left_for_work() {
    let script = Script::default();
    let records = standard([("m1", "key same-9500"), ("m2", "key same-9500"), ("m3", "key ok")]);

    let batch = process(&script, settings(), 10, records).await;

    assert_eq!(batch.completion("m2"), Completion::Shared(Scripted::Done));
    assert_eq!(batch.completion("m3"), Completion::NotStarted);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_clock_cannot_represent_counts_as_none() {
    let deadline = Deadline::within(Duration::MAX);
    assert_eq!(deadline, Deadline::NONE);
    assert_eq!(deadline.left(), Duration::MAX);
    assert_eq!(deadline.earlier(Duration::from_secs(1)), Deadline::NONE);
}
