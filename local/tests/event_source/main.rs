//! Tests of the event source mapping with moto and a small function. Environment variables define its
//! responses.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod batches;
mod deletions;
mod records;
mod response;
mod scaling;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reservation_worker_local::event_source::{Mapping, Queue, RunningMapping, Sqs, Stats};
use serde_json::Value;
use tokio::time::sleep;

/// A time that is longer than any test.
const LONG: Duration = Duration::from_secs(300);

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools")
}

async fn moto() -> Sqs {
    Sqs::start_moto(&tools()).await.unwrap()
}

/// A queue that does not deliver a message again within the duration of a test.
async fn queue(sqs: &Sqs, name: &str) -> Queue {
    sqs.create(name, false, 100, LONG).await.unwrap()
}

/// A mapping that invokes one process of `function.py` with these environment variables.
fn mapping(queue: &Queue, variables: &[(&str, &str)]) -> Mapping {
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/event_source/function.py");
    let python = tools().join("venv/bin").to_str().unwrap().to_owned();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = variables.chain([("PATH".to_owned(), python)]).collect();
    Mapping { maximum_concurrency: 1, idle: LONG, ..Mapping::new(queue, function, environment) }
}

/// Waits until the counts of the mapping meet the condition.
async fn until(running: &RunningMapping, condition: impl Fn(Stats) -> bool) -> Stats {
    let started = Instant::now();
    while !condition(running.stats()) {
        assert!(started.elapsed() < LONG / 3, "{:?} {:?}", running.stats(), running.log_lines());
        sleep(Duration::from_millis(10)).await;
    }
    running.stats()
}

/// The line that the function printed for each invocation.
fn invocations(running: &RunningMapping) -> Vec<Value> {
    running.log_lines().into_iter().filter(|line| line["count"].is_u64()).collect()
}
