//! Records with equal keys run in order, and the same work is done once.

use std::cell::RefCell;
use std::time::Duration;

use sqs_batch::{BatchProcessor, Completion, Deadline, Handler, Job, Record};
use tokio::time::sleep;

use crate::script::{Script, Scripted, event, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn records_with_equal_keys_run_one_after_the_other_and_no_other_record_waits() {
    let script = Script::default();
    let records = standard([
        ("a1", "a 100"),
        ("a2", "a ok"),
        ("b1", "b ok"),
        ("a3", "a ok"),
        ("b2", "b ok"),
        ("-", "- ok"),
    ]);

    process(&script, settings(), 60, records).await;

    assert_eq!(*script.started.borrow(), ["a1", "b1", "-", "b2", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_work_is_done_once_and_its_outcome_is_shared() {
    for (work, shared) in [("same-ok", Scripted::Done), ("same-fail", Scripted::Failed)] {
        let script = Script::default();
        let body = format!("key {work}");
        let other = format!("other {work}");
        let records = standard([
            ("m1", body.as_str()),
            ("m2", "key ok"),
            ("m3", body.as_str()),
            ("m4", other.as_str()),
        ]);

        let batch = process(&script, settings(), 60, records).await;

        assert_eq!(*script.started.borrow(), ["m1", "m4", "m2"], "{work}: m4 has another key");
        assert_eq!(batch.completion("m1"), Completion::Handled(shared));
        assert_eq!(batch.completion("m3"), Completion::Shared(shared));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_shared_too() {
    let script = Script::default();
    let batch =
        process(&script, settings(), 60, standard([("m1", "key same-panic"), ("m2", "key same-panic")]))
            .await;
    assert_eq!(batch.completion("m2"), Completion::Panicked);
    assert_eq!(*script.started.borrow(), ["m1"]);
}

#[tokio::test(start_paused = true)]
async fn records_without_an_identity_are_each_handled() {
    let script = Script::default();
    process(&script, settings(), 60, standard([("m1", "key ok"), ("m2", "key ok")])).await;
    assert_eq!(*script.started.borrow(), ["m1", "m2"]);
}

/// A job with the default key and the default identity.
struct Defaults;

impl Job for Defaults {
    fn read(_: &Record) -> Self {
        Self
    }
}

/// Handles the first record slowly, and notes the ids in the order in which the records are done.
#[derive(Default)]
struct FirstIsSlow(RefCell<Vec<String>>);

impl Handler for FirstIsSlow {
    type Job = Defaults;
    type Outcome = Result<(), &'static str>;

    async fn handle(&self, record: &Record, _: &Defaults, _: Deadline) -> Self::Outcome {
        if record.message_id == "m1" {
            sleep(Duration::from_millis(100)).await;
        }
        self.0.borrow_mut().push(record.message_id.clone());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_records_are_independent_and_never_the_same_work() {
    let records = serde_json::json!({ "Records": standard([("m1", ""), ("m2", ""), ("m3", "")]) });
    let processor = BatchProcessor::new(FirstIsSlow::default(), settings());
    processor.handle(event(&records, 60)).await.unwrap();
    assert_eq!(*processor.handler().0.borrow(), ["m2", "m3", "m1"]);
}
