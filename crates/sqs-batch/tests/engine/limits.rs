//! The number of records in progress.

use std::time::Duration;

use sqs_batch::{BatchProcessor, Settings};

use crate::script::{Script, Seen, event, fifo, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn the_concurrency_is_reached_and_never_exceeded_with_keys_and_groups() {
    for concurrency in [1, 3, 7] {
        let names: Vec<_> =
            (0..100).map(|number| (format!("m{number}"), format!("g{}", number % 10))).collect();
        let script = Script::default();
        let records = fifo(names.iter().map(|(id, group)| (id.as_str(), group.as_str(), "- 10")));

        let batch = process(&script, Settings { concurrency, ..settings() }, 60, records).await;

        assert_eq!(batch.returned, [""; 0]);
        assert_eq!(script.peak.get(), concurrency);
        assert_eq!(batch.seen.peak_in_progress.get(), concurrency);
    }
}

#[tokio::test(start_paused = true)]
async fn the_concurrency_limit_applies_to_all_batches_of_the_process_together() {
    let (script, seen) = (Script::default(), Seen::default());
    let processor =
        BatchProcessor::new(&script, Settings { concurrency: 3, ..settings() }).with_observer(&seen);
    let ids: Vec<_> = (0..20).map(|number| format!("m{number}")).collect();
    let payload = serde_json::json!({ "Records": standard(ids.iter().map(|id| (id.as_str(), "- 10"))) });

    let (one, other) =
        tokio::join!(processor.handle(event(&payload, 60)), processor.handle(event(&payload, 60)));

    assert!(one.unwrap().batch_item_failures.is_empty() && other.unwrap().batch_item_failures.is_empty());
    assert_eq!(script.peak.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_ten_thousand_records_is_processed() {
    let script = Script::default();
    let ids: Vec<_> = (0..10_000).map(|number| format!("m{number}")).collect();
    let records = standard(ids.iter().map(|id| (id.as_str(), "- 1")));
    let batch = process(&script, settings(), 900, records).await;
    assert_eq!(batch.returned, [""; 0]);
    assert_eq!(script.started.borrow().len(), 10_000);
}

#[test]
fn the_default_settings_are_the_documented_ones() {
    let second = Duration::from_secs(1);
    let documented =
        Settings { concurrency: 20, max_receives: 5, deadline_reserve: second, time_per_record: second };
    assert_eq!(Settings::default(), documented);
}
