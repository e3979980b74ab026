//! The batch engine with a scripted handler, on paused time. The engine does not depend on reservations.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker::batch::{Batch, Handler, Job};
use reservation_worker::config::Config;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::record::Record;
use reservation_worker::retry::Deadline;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::{Level, Span, error_span};

use crate::test_app::{BatchRun, context, fifo, run, sqs};

/// A handler that does what the body of each record says.
///
/// A body is `lane work`. The lane `-` means that the record has no lane. The work is `ok`, `fail`,
/// `panic`, `hang`, `unreadable` (the read of the record panics) or a number of milliseconds.
#[derive(Default)]
struct Script {
    running: Cell<usize>,
    peak: Cell<usize>,
    started: RefCell<Vec<String>>,
}

struct ScriptedJob {
    message_id: String,
    lane: String,
    work: String,
}

impl Handler for &Script {
    type Job = ScriptedJob;

    fn read(&self, record: &Record) -> ScriptedJob {
        let (lane, work) = record.body.as_deref().unwrap().split_once(' ').unwrap();
        assert_ne!(work, "unreadable");
        ScriptedJob { message_id: record.message_id.clone(), lane: lane.to_owned(), work: work.to_owned() }
    }

    async fn work(&self, job: &ScriptedJob, _: Deadline) -> Outcome {
        self.started.borrow_mut().push(job.message_id.clone());
        self.running.set(self.running.get() + 1);
        self.peak.set(self.peak.get().max(self.running.get()));
        let outcome = match job.work.as_str() {
            "ok" => Outcome::Success,
            "fail" => Outcome::Failed { code: Reason::CommitRejected, reason: "scripted".to_owned() },
            "panic" => panic!("scripted"),
            "unreadable" => unreachable!("the read of this record panics"),
            "hang" => std::future::pending().await,
            milliseconds => {
                sleep(Duration::from_millis(milliseconds.parse().unwrap())).await;
                Outcome::Success
            }
        };
        self.running.set(self.running.get() - 1);
        outcome
    }
}

impl Job for ScriptedJob {
    type Identity = String;

    fn lane(&self) -> Option<(&str, &String)> {
        (self.lane != "-").then_some((&self.lane, &self.message_id))
    }

    fn span(&self, _: &Record) -> Span {
        error_span!("record", message_id = self.message_id)
    }
}

fn config(variables: &'static [(&str, &str)]) -> Config {
    let required = [("INVENTORY_GRPC_ADDR", "localhost:1"), ("RESERVATION_API_BASE", "http://localhost:1")];
    let lookup = |name: &str| {
        let mut all = variables.iter().chain(&required);
        all.find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    };
    Config::from_lookup(lookup).unwrap()
}

/// Runs a batch with the scripted handler. Lambda's deadline is in `seconds`.
async fn run_script(
    script: &Script,
    variables: &'static [(&str, &str)],
    seconds: u64,
    mut event: serde_json::Value,
) -> BatchRun {
    let config = config(variables);
    let metrics = Metrics::new(&config);
    let batch = Batch::new(&config, script, Visibility::new(&config, metrics.clone()), metrics);
    for record in event["Records"].as_array_mut().unwrap() {
        record["receiptHandle"] = json!(null); // without a receipt handle, SQS is not called
    }
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
    run(&batch, Level::INFO, event, context(deadline)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn records_in_flight_at_the_deadline_reserve_are_abandoned_and_waiting_records_do_not_start() {
    let script = Script::default();
    let start = Instant::now();
    let event = sqs([
        ("m1", json!("- hang")),
        ("m2", json!("- 100")),
        ("m3", json!("lane hang")),
        ("m4", json!("lane ok")),
        ("m5", json!("- ok")),
    ]);

    let run = run_script(&script, &[("WORKER_CONCURRENCY", "4")], 10, event).await;

    assert_eq!(run.returned(), ["m1", "m3", "m4"]);
    assert_eq!(run.reason("m1"), "no time left to finish it");
    assert_eq!(run.reason("m4"), "no time left to start it");
    let took = start.elapsed().as_millis();
    assert!((8_900..=9_000).contains(&took), "took {took} ms instead of 10 s minus the reserve of 1 s");
}

#[tokio::test(start_paused = true)]
async fn no_record_starts_without_time_for_one_attempt_of_each_call() {
    // The time for work is 20 s minus the reserve of 1 s. One attempt of each call takes up to 3.25 s.
    let script = Script::default();
    let ids = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];
    let event = sqs(ids.map(|id| (id, json!("lane 3000"))));

    let run = run_script(&script, &[], 20, event).await;

    assert_eq!(
        *script.started.borrow(),
        ids[..6],
        "records start at 0, 3, 6, 9, 12 and 15 s, and none at 18 s"
    );
    assert_eq!(run.returned(), ["m6", "m7"]);
}

#[tokio::test(start_paused = true)]
async fn records_start_even_if_the_function_time_out_is_shorter_than_the_call_time_outs() {
    let script = Script::default();
    let run =
        run_script(&script, &[("RESERVATION_API_TIMEOUT_MS", "60000")], 4, sqs([("m1", json!("- 500"))]))
            .await;
    assert_eq!(run.returned(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_lane_run_one_after_the_other_and_other_lanes_do_not_wait() {
    let script = Script::default();
    let event = sqs([
        ("a1", json!("a 100")),
        ("a2", json!("a ok")),
        ("b1", json!("b ok")),
        ("a3", json!("a ok")),
        ("b2", json!("b ok")),
    ]);

    run_script(&script, &[], 60, event).await;

    assert_eq!(*script.started.borrow(), ["a1", "b1", "b2", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn the_concurrency_limit_is_reached_and_never_exceeded_with_fifo_groups() {
    for limit in [1, 3, 7] {
        let variables: &[_] = match limit {
            1 => &[("WORKER_CONCURRENCY", "1")],
            3 => &[("WORKER_CONCURRENCY", "3")],
            _ => &[("WORKER_CONCURRENCY", "7")],
        };
        let ids: Vec<_> =
            (0..100).map(|number| (format!("m{number}"), format!("g{}", number % 10))).collect();
        let script = Script::default();
        let event = fifo(ids.iter().map(|(id, group)| (id.as_str(), group.as_str(), json!("- 10"))));

        let run = run_script(&script, variables, 60, event).await;

        assert_eq!(run.returned(), [""; 0]);
        assert_eq!(script.peak.get(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_returns_its_record_and_no_other() {
    let script = Script::default();
    let event = sqs([
        ("m1", json!("- 10")),
        ("m2", json!("lane panic")),
        ("m3", json!("lane ok")),
        ("m4", json!("- ok")),
    ]);

    let run = run_script(&script, &[], 60, event).await;

    assert_eq!(run.returned(), ["m2"]);
    assert_eq!((run.outcome("m2"), run.reason("m2")), ("retried", "the worker panicked"));
    assert_eq!(*script.started.borrow(), ["m1", "m2", "m4", "m3"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_reading_a_record_returns_that_record_and_no_other() {
    let script = Script::default();
    let event = sqs([("m1", json!("- ok")), ("m2", json!("- unreadable")), ("m3", json!("- ok"))]);

    let run = run_script(&script, &[], 60, event).await;

    assert_eq!(run.returned(), ["m2"]);
    assert_eq!((run.outcome("m2"), run.reason("m2")), ("retried", "the worker panicked"));
}

#[tokio::test(start_paused = true)]
async fn every_record_gets_one_summary_line_whatever_its_outcome() {
    let script = Script::default();
    let event = fifo([
        ("ok", "a", json!("- ok")),
        ("fail", "b", json!("- fail")),
        ("blocked", "b", json!("- ok")),
        ("panic", "c", json!("- panic")),
        ("hang", "d", json!("- hang")),
        ("behind", "d", json!("- ok")),
    ]);

    let run = run_script(&script, &[], 10, event).await;

    for id in ["ok", "fail", "blocked", "panic", "hang", "behind"] {
        assert_eq!(run.line(id)["request_id"], "request-1", "{id}");
    }
    assert_eq!(run.returned(), ["fail", "blocked", "panic", "hang", "behind"]);
}
