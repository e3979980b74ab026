//! A panic ends the work on its record only.

use serde_json::json;
use sqs_batch::{BatchProcessor, Completion, Observer, Record};

use crate::script::{Line, Script, Scripted, event, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn a_panic_in_any_code_for_a_record_returns_that_record_alone() {
    let places = [
        "panic",
        "panic-read",
        "panic-key",
        "panic-identity",
        "panic-begun",
        "panic-acknowledged",
        "panic-redelivery",
        "panic-finished",
    ];
    for place in places {
        let script = Script::default();
        let body = format!("key {place}");
        let records = standard([("m1", "- 10"), ("m2", body.as_str()), ("m3", "key ok"), ("m4", "- ok")]);

        let batch = process(&script, settings(), 60, records).await;

        assert_eq!(batch.returned, ["m2"], "{place}");
        for id in ["m1", "m3", "m4"] {
            assert_eq!(batch.completion(id), Completion::Handled(Scripted::Done), "{place}: {id}");
        }
        let reported = batch.completion("m2");
        // The observer was called with the outcome and panicked afterwards.
        let expected = if place == "panic-finished" {
            Completion::Handled(Scripted::Done)
        } else {
            Completion::Panicked
        };
        assert_eq!(reported, expected, "{place}");
    }
}

/// Panics when the record `m2` begins.
struct PanicAtM2;

impl Observer<&Script> for PanicAtM2 {
    type Scope = ();

    fn record_begun(&self, record: &Record, _: Option<&Line>) {
        assert_ne!(record.message_id, "m2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_outcome_applies_although_the_observer_panics_when_its_record_begins() {
    let cases: [(&str, &[&str]); 2] = [("key same-ok", &[]), ("key same-fail", &["m1", "m2"])];
    for (body, returned) in cases {
        let script = Script::default();
        let records = standard([("m1", body), ("m2", body), ("m3", "key ok")]);
        let processor = BatchProcessor::new(&script, settings()).with_observer(PanicAtM2);

        let response = processor.handle(event(&json!({ "Records": records }), 60)).await.unwrap();

        let ids: Vec<_> =
            response.batch_item_failures.iter().map(|item| item.item_identifier.as_str()).collect();
        assert_eq!(ids, returned, "{body}");
        assert_eq!(*script.started.borrow(), ["m1", "m3"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_record_begins_and_finishes_exactly_once() {
    let script = Script::default();
    let ids = [
        "ok",
        "fail",
        "panic",
        "panic-read",
        "panic-key",
        "panic-identity",
        "panic-begun",
        "panic-finished",
        "hang",
        // Waits for the record before, because both have the same key.
        "behind",
    ];
    let bodies =
        ids.map(|id| if id == "hang" || id == "behind" { format!("key {id}") } else { format!("- {id}") });
    let records = standard(ids.iter().copied().zip(bodies.iter().map(String::as_str)));

    let batch = process(&script, settings(), 10, records).await;

    for id in ids {
        assert_eq!(batch.seen.begun.borrow()[id], 1, "{id}");
        batch.completion(id);
    }
    assert_eq!(batch.returned, ids[1..]);
}
