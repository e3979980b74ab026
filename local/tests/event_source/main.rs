//! The event source mapping over moto, with a small function that answers as it is told.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod batches;
mod records;
mod rules;
mod scaling;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reservation_worker_local::event_source::{Mapping, Queue, Running, Sqs, Stats};
use serde_json::Value;
use tokio::time::sleep;

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(300);

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools")
}

async fn moto() -> Sqs {
    Sqs::start_moto(&tools()).await.unwrap()
}

/// A queue whose messages, once received, come again only when the test is long over.
async fn queue(sqs: &Sqs, name: &str) -> Queue {
    sqs.create(name, false, 100, LONG).await.unwrap()
}

/// A mapping of one process of `function.py`.
fn mapping(queue: &Queue, variables: &[(&str, &str)]) -> Mapping {
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/event_source/function.py");
    let python = tools().join("venv/bin").to_str().unwrap().to_owned();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = variables.chain([("PATH".to_owned(), python)]).collect();
    Mapping { maximum_concurrency: 1, idle: LONG, ..Mapping::new(queue, function, environment) }
}

/// Waits until the mapping's counts are so.
async fn until(running: &Running, are_so: impl Fn(Stats) -> bool) -> Stats {
    let started = Instant::now();
    while !are_so(running.stats()) {
        assert!(started.elapsed() < LONG / 3, "{:?} {:?}", running.stats(), running.log_lines());
        sleep(Duration::from_millis(10)).await;
    }
    running.stats()
}

/// What the function printed of each invocation.
fn invocations(running: &Running) -> Vec<Value> {
    running.log_lines().into_iter().filter(|line| line["count"].is_u64()).collect()
}
