//! Records that were returned during an outage are made visible again when it is over.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use sqs_batch::visibility::{Recalled, Visibility};
use sqs_batch::{Backoff, BatchProcessor, Settings};
use tokio::time::{Instant, advance};

use crate::batch::{Script, event, fifo, record, standard};
use crate::sqs::{Call, Entry, Reply, Sqs};

const TIME: Duration = Duration::from_secs(2);

/// A process whose returned records wait 10 minutes, plus the jitter, for the end of an outage.
struct Process {
    sqs: Sqs,
    processor: BatchProcessor<Script>,
}

impl Process {
    fn new() -> Self {
        Self::waiting(&[600])
    }

    /// The visibility time-outs during an outage, in seconds.
    fn waiting(seconds: &[u64]) -> Self {
        let outage = seconds.iter().copied().map(Duration::from_secs).collect();
        Self::with(|sqs| sqs.visibility(Backoff { outage, ..Backoff::default() }))
    }

    fn with(visibility: impl FnOnce(&Sqs) -> Visibility) -> Self {
        let sqs = Sqs::default();
        let settings = Settings { concurrency: 1_000, ..Settings::default() };
        let processor = BatchProcessor::new(Script, settings).with_visibility(visibility(&sqs));
        Self { sqs, processor }
    }

    /// Processes a batch. The calls that it makes are dropped.
    async fn process(&self, records: Value) {
        let event = event(records, 60);
        let response = self.processor.handle(event).await.unwrap();
        assert!(!response.batch_item_failures.is_empty());
        self.sqs.take_calls();
    }

    /// Recalls the records that wait for the inventory. Returns the number that the engine reports, and the calls.
    async fn recall(&self) -> (usize, Vec<Call>) {
        let recalled = self.processor.recall("inventory", TIME).await.accepted;
        (recalled, self.sqs.take_calls())
    }

    /// The ids of the records that are recalled now, sorted.
    async fn recalled(&self) -> Vec<String> {
        let (number, calls) = self.recall().await;
        let mut ids: Vec<_> = entries(&calls).iter().map(id).collect();
        ids.sort_unstable();
        assert_eq!(number, ids.len());
        ids
    }
}

fn entries(calls: &[Call]) -> Vec<Entry> {
    calls.iter().flat_map(|call| call.entries.clone()).collect()
}

fn id(entry: &Entry) -> String {
    entry.receipt_handle.strip_prefix("handle of ").unwrap().to_owned()
}

fn seconds(calls: &[Call]) -> Vec<u64> {
    entries(calls).iter().map(|entry| entry.seconds).collect()
}

/// Records that wait for the inventory: `m00000`, `m00001`, and so on.
fn down(numbers: std::ops::Range<usize>) -> Value {
    numbers.map(|number| record(&format!("m{number:05}"), "inventory down", 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn only_records_that_were_returned_because_of_the_cause_are_recalled() {
    let process = Process::new();
    let records = standard([
        ("m1", "done"),
        ("m2", "inventory down"),
        ("m3", "payments down"),
        ("m4", "retry after 600 s"),
        ("m5", "reject"),
        ("m6", "inventory down, after 900 s"),
        ("m7", "hang"),
    ]);
    process.process(records).await;

    assert_eq!(process.recalled().await, ["m2", "m6"]);
    assert_eq!(process.processor.recall("payments", TIME).await.accepted, 1);
    assert_eq!(entries(&process.sqs.take_calls()).iter().map(id).collect::<Vec<_>>(), ["m3"]);
}

#[tokio::test(start_paused = true)]
async fn records_of_several_batches_are_recalled_together_and_once() {
    let process = Process::new();
    process.process(standard([("m1", "inventory down")])).await;
    process.process(standard([("m2", "inventory down")])).await;
    assert_eq!(process.recalled().await, ["m1", "m2"]);
    assert_eq!(process.recall().await, (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_record_on_its_last_receive_is_not_recalled() {
    let process = Process::new();
    process.process(json!([record("m1", "inventory down", 5), record("m2", "inventory down", 4)])).await;
    assert_eq!(process.recalled().await, ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn without_waiting_records_no_call_is_made() {
    let process = Process::new();
    assert_eq!(process.recall().await, (0, vec![]));
    assert_eq!(process.sqs.clients(), []);
}

#[tokio::test]
async fn without_visibility_time_outs_nothing_is_recalled() {
    let processor = BatchProcessor::new(Script, Settings::default());
    assert_eq!(processor.recall("inventory", TIME).await.accepted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_time_out_is_over_is_not_recalled() {
    let process = Process::waiting(&[100]);
    process.process(standard([("m1", "inventory down")])).await;
    // The time-out is 100 s plus up to 20 %.
    advance(Duration::from_secs(60)).await;
    process.process(standard([("m2", "inventory down")])).await;
    advance(Duration::from_secs(60)).await;
    assert_eq!(process.recalled().await, ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_returns_earlier_without_a_recall_is_not_recalled() {
    // 300 records are spread over 30 s, and each of them returns by itself within 10 s to 12 s.
    let process = Process::waiting(&[10]);
    process.process(down(0..300)).await;
    advance(Duration::from_secs(5)).await;

    let (number, calls) = process.recall().await;

    let seconds = seconds(&calls);
    assert!(seconds.iter().all(|seconds| *seconds < 7), "{seconds:?}");
    assert_eq!(number, seconds.len());
    assert!((20..150).contains(&number), "{number} of 300");
    assert_eq!(process.recall().await, (0, vec![]), "the records that were not recalled are forgotten");
}

#[tokio::test(start_paused = true)]
async fn recalled_records_return_at_random_within_one_second_per_ten_records_and_30_s() {
    for (number, spread) in [(1, 0), (100, 10), (300, 30), (2_000, 30)] {
        let process = Process::new();
        process.process(down(0..number)).await;

        let (recalled, calls) = process.recall().await;

        assert_eq!(recalled, number);
        let seconds = seconds(&calls);
        assert_eq!(seconds.len(), number);
        assert!(seconds.iter().all(|seconds| *seconds <= spread), "{number}: {seconds:?}");
        if number >= 100 {
            let different: HashSet<_> = seconds.iter().collect();
            assert!(different.len() > 5, "{number}: {different:?}");
            assert!(seconds.iter().any(|seconds| *seconds > spread / 2), "{number}: {seconds:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_recalls_at_most_ten_records_with_unique_ids_and_ten_calls_are_in_progress_at_once() {
    let process = Process::new();
    process.process(down(0..205)).await;
    process.sqs.reply_next(&[Reply::AcceptedAfter(Duration::from_millis(100)); 21]);
    let begin = Instant::now();

    let (number, calls) = process.recall().await;

    assert_eq!(number, 205);
    let sizes: Vec<_> = calls.iter().map(|call| call.entries.len()).collect();
    assert_eq!(sizes, [[10; 20].as_slice(), &[5]].concat());
    for call in &calls {
        let ids: HashSet<_> = call.entries.iter().map(|entry| &entry.id).collect();
        assert_eq!(ids.len(), call.entries.len(), "{ids:?}");
    }
    assert_eq!(process.sqs.peak(), 10);
    assert!((300..350).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_fifo_group_return_together() {
    let process = Process::new();
    let names: Vec<_> =
        (0..300).map(|number| (format!("m{number:03}"), format!("g{}", number % 30))).collect();
    process.process(fifo(names.iter().map(|(id, group)| (&**id, &**group, "inventory down", 1)))).await;

    let (number, calls) = process.recall().await;

    assert_eq!(number, 300);
    let of_group = |group: usize| {
        let mut entries = entries(&calls);
        entries.retain(|entry| id(entry)[1..].parse::<usize>().unwrap() % 30 == group);
        assert_eq!(entries.len(), 10);
        entries.into_iter().map(|entry| entry.seconds).collect::<HashSet<_>>()
    };
    let groups: Vec<_> = (0..30).map(of_group).collect();
    assert!(groups.iter().all(|seconds| seconds.len() == 1), "{groups:?}");
    assert!(groups.iter().flatten().collect::<HashSet<_>>().len() > 5, "{groups:?}");
}

#[tokio::test(start_paused = true)]
async fn the_blocked_records_of_a_fifo_group_are_recalled_with_the_first_one() {
    let process = Process::new();
    let records = fifo([
        ("a1", "a", "reject", 1),
        ("a2", "a", "inventory down", 1),
        ("a3", "a", "done", 1),
        ("a4", "a", "done", 5),
        ("b1", "b", "retry", 1),
        ("b2", "b", "inventory down", 1),
    ]);
    process.process(records).await;
    assert_eq!(process.recalled().await, ["a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn each_queue_gets_the_calls_for_its_own_records() {
    let process = Process::new();
    for (id, queue) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")] {
        let mut record = record(id, "inventory down", 1);
        record["eventSourceARN"] = json!(format!("arn:aws:sqs:eu-west-1:123456789012:{queue}"));
        process.process(json!([record])).await;
    }

    let (number, calls) = process.recall().await;

    assert_eq!(number, 4);
    let mut calls: Vec<_> = calls
        .iter()
        .map(|call| (call.queue_url.clone(), call.entries.iter().map(id).collect::<Vec<_>>()))
        .collect();
    calls.sort_unstable();
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012";
    let expected = [("a", ["a1", "a2"]), ("b", ["b1", "b2"])];
    assert_eq!(calls, expected.map(|(queue, ids)| (format!("{url}/{queue}"), ids.map(String::from).into())));
}

#[tokio::test(start_paused = true)]
async fn a_recall_stops_when_its_time_is_over_and_the_next_one_continues() {
    let process = Process::new();
    process.process(down(0..250)).await;
    // Ten calls are answered at 0.8 s and ten at 1.6 s. The last five would be answered at 2.4 s.
    process.sqs.reply_next(&[Reply::AcceptedAfter(Duration::from_millis(800)); 25]);
    let begin = Instant::now();

    let (number, calls) = process.recall().await;

    assert_eq!((number, calls.len()), (200, 25));
    assert!((2_000..2_050).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    let expected: Vec<_> = (200..250).map(|number| format!("m{number:05}")).collect();
    assert_eq!(process.recalled().await, expected);
    assert_eq!(process.recall().await, (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_recall_without_time_makes_no_call_and_forgets_nothing() {
    let process = Process::new();
    process.process(down(0..150)).await;
    assert_eq!(process.processor.recall("inventory", Duration::ZERO).await.accepted, 0);
    assert_eq!(process.sqs.take_calls(), []);
    assert_eq!(process.recall().await.0, 150);
}

#[tokio::test(start_paused = true)]
async fn at_most_10_000_records_are_remembered_and_the_oldest_are_forgotten_first() {
    let process = Process::new();
    process.process(down(0..3)).await;
    advance(Duration::from_secs(1)).await;
    process.process(down(3..10)).await;
    advance(Duration::from_secs(1)).await;
    process.sqs.reply_next(&[Reply::None]);
    // The recall remembers its ten records again. They are older than those that are returned meanwhile.
    let (recalled, ()) =
        tokio::join!(process.processor.recall("inventory", TIME), process.process(down(10..10_005)));
    assert_eq!(recalled, Recalled { accepted: 0, unanswered: 10 });
    let expected: Vec<_> = (5..10_005).map(|number| format!("m{number:05}")).collect();
    assert_eq!(process.recalled().await, expected);
}

#[tokio::test(start_paused = true)]
async fn records_that_the_queue_refuses_are_not_counted_and_not_recalled_again() {
    let process = Process::new();
    process.process(down(0..30)).await;
    process.sqs.reply_next(&[
        Reply::Refused { from: 2, to: 5 },
        Reply::Failed(403, "AccessDenied"),
        Reply::Accepted,
    ]);

    let (number, calls) = process.recall().await;

    assert_eq!((number, calls.len()), (17, 3));
    assert_eq!(process.recall().await, (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_recall_uses_the_queue_url_that_is_set() {
    let url = "http://localhost:9324/000000000000/q";
    let process = Process::with(|sqs| {
        let backoff = Backoff { outage: vec![Duration::from_secs(600)], ..Backoff::default() };
        sqs.visibility(backoff).with_queue_url(Some(url.to_owned()))
    });
    process.process(standard([("m1", "inventory down")])).await;
    let (_, calls) = process.recall().await;
    assert_eq!(calls[0].queue_url, url);
    assert_eq!(process.sqs.clients().len(), 1, "the client is made once");
}
