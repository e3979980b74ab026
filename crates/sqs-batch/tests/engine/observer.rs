//! What an observer is called with.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lambda_runtime::Diagnostic;
use serde_json::json;
use sqs_batch::{
    BatchBegun, BatchFinished, BatchProcessor, NotSqs, Observer, Record, RecordFinished, Settings,
};

use crate::script::{Line, Script, event, settings, standard};

/// The calls in order.
#[derive(Default)]
struct Calls(RefCell<Vec<String>>);

impl Calls {
    fn add(&self, call: String) {
        self.0.borrow_mut().push(call);
    }
}

impl<'a> Observer<&'a Script> for &Calls {
    type Scope = String;

    fn batch_begun(&self, batch: BatchBegun<'_>) {
        // The end of the invocation is a time of the wall clock, which is not paused.
        let seconds = batch.time.as_secs_f64().ceil();
        self.add(format!("begin {} records, {seconds} s, reserve {:?}", batch.records.len(), batch.reserve));
    }

    fn record_begun(&self, record: &Record, line: Option<&Line>) -> String {
        self.add(format!("begin {}, job {}", record.message_id, line.is_some()));
        format!("scope of {}", record.message_id)
    }

    async fn in_scope<W: Future>(&self, scope: &String, work: W) -> W::Output {
        self.add(format!("enter {scope}"));
        let output = work.await;
        self.add(format!("leave {scope}"));
        output
    }

    fn record_finished(&self, finished: RecordFinished<'_, &'a Script>, scope: Option<&String>) {
        self.add(format!(
            "finish {}, job {}, {:?}, {:?}, {:?}, {} receives",
            finished.record.message_id,
            finished.job.is_some(),
            finished.completion,
            finished.duration,
            scope,
            finished.max_receives,
        ));
    }

    fn batch_finished(&self, batch: BatchFinished<'_>) {
        self.add(format!("finish {} records, peak {}", batch.records.len(), batch.peak_in_progress));
    }
}

/// The observer's calls for a batch that Lambda ends after `seconds`.
async fn calls(settings: Settings, seconds: u64, records: serde_json::Value) -> Vec<String> {
    let (script, calls) = (Script::default(), Calls::default());
    let processor = BatchProcessor::new(&script, settings).with_observer(&calls);
    processor.handle(event(&json!({ "Records": records }), seconds)).await.unwrap();
    calls.0.take()
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_the_batch_and_each_record_with_its_scope() {
    let settings =
        Settings { max_receives: 7, concurrency: 1, deadline_reserve: Duration::from_secs(2), ..settings() };
    let records = standard([("m1", "- 500"), ("m2", "- panic-read"), ("m3", "- panic")]);
    assert_eq!(
        calls(settings, 10, records).await,
        [
            "begin 3 records, 8 s, reserve 2s",
            "begin m1, job true",
            "enter scope of m1",
            "leave scope of m1",
            "finish m1, job true, Handled(Done), Some(500ms), Some(\"scope of m1\"), 7 receives",
            "begin m2, job false",
            "finish m2, job false, Panicked, Some(0ns), Some(\"scope of m2\"), 7 receives",
            "begin m3, job true",
            "enter scope of m3",
            "finish m3, job true, Panicked, Some(0ns), Some(\"scope of m3\"), 7 receives",
            "finish 3 records, peak 1",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_started_has_a_scope_and_no_duration() {
    let settings = Settings { deadline_reserve: Duration::from_secs(10), ..settings() };
    assert_eq!(
        calls(settings, 10, standard([("m1", "- ok")])).await,
        [
            "begin 1 records, 0 s, reserve 10s",
            "begin m1, job true",
            "finish m1, job true, NotStarted, None, Some(\"scope of m1\"), 5 receives",
            "finish 1 records, peak 0",
        ]
    );
}

/// Notes how many scopes exist whenever a record finishes.
#[derive(Default)]
struct Scopes {
    each: Rc<()>,
    existing: RefCell<Vec<usize>>,
}

impl<'a> Observer<&'a Script> for &Scopes {
    type Scope = Rc<()>;

    fn record_begun(&self, _: &Record, _: Option<&Line>) -> Rc<()> {
        self.each.clone()
    }

    fn record_finished(&self, _: RecordFinished<'_, &'a Script>, _: Option<&Rc<()>>) {
        self.existing.borrow_mut().push(Rc::strong_count(&self.each) - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_scope_of_a_record_is_dropped_when_the_record_is_finished() {
    let (script, scopes) = (Script::default(), Scopes::default());
    let settings = Settings { concurrency: 1, ..settings() };
    let processor = BatchProcessor::new(&script, settings).with_observer(&scopes);
    let records = standard([("m1", "- ok"), ("m2", "- panic"), ("m3", "- ok")]);
    processor.handle(event(&json!({ "Records": records }), 10)).await.unwrap();
    assert_eq!(*scopes.existing.borrow(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_at_least_100_ms() {
    let settings = Settings { deadline_reserve: Duration::from_millis(99), ..settings() };
    let calls = calls(settings, 10, standard([])).await;
    assert_eq!(calls, ["begin 0 records, 10 s, reserve 100ms", "finish 0 records, peak 0"]);
}

#[test]
fn lambda_shows_the_type_and_the_text_of_a_rejected_payload() {
    let diagnostic = Diagnostic::from(NotSqs::Event { line: 3, column: 4 });
    assert_eq!(diagnostic.error_type, "NotSqs");
    assert_eq!(diagnostic.error_message, "the payload is not an SQS event, at line 3 column 4");
}
