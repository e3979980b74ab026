//! A panic returns its record and no other.

use sqs_batch::Completion;

use crate::script::{Script, Scripted, process, settings, standard};

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
