//! The command `load`: sends a burst of events, measures how fast they are processed, and checks the
//! invariants.
//!
//! The function is built with the profile `process`, which behaves like a release and builds in a fraction of the time,
//! but is not optimised. `FUNCTION_BINARIES=target/release` measures a release.

mod invariants;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reservation_worker_local::Services;
use tokio::task::yield_now;
use tokio::time::sleep;

use self::invariants::Findings;
use crate::burst::{Burst, BurstPlan};
use crate::options::{Failure, Options};
use crate::pipeline::{MAX_RETRIES, Pipeline};
use crate::words::{count, fitted};

/// The largest number of events. Everything about them is in memory until the end.
pub(crate) const MAX_EVENTS: usize = 100_000;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// The width of the progress bar in characters.
const BAR_WIDTH: usize = 30;
/// The run ends after this time without progress. It is longer than the visibility time-out.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// The largest number of violations that are printed.
const MAX_PRINTED: usize = 20;

/// Sends the events and waits until they are processed. The exit code is 1 if an invariant is violated, or if an event
/// is in the dead-letter queue or still in the queue.
pub(crate) async fn run(events: usize, options: Options) -> Result<ExitCode, Failure> {
    let pipeline = Pipeline::start(options, []).await?;
    let burst = prepare(events, &pipeline.services).await?;
    println!("{events} events for {} reservations", burst.holds.len());

    let started = Instant::now();
    let sending = pipeline.queue.send(burst.bodies.iter().map(String::as_str));
    let (sent, completed) = tokio::join!(sending, completed(&pipeline, events));
    sent?;
    let duration = completed?.duration_since(started);

    let findings = invariants::check(&pipeline, &burst).await?;
    print_results(&pipeline, events, duration);
    let is_complete = print_findings(&findings);
    let Pipeline { sqs, queue, mapping, .. } = pipeline;
    mapping.stop().await;
    if !sqs.is_started_here() {
        sqs.delete(&queue).await?;
        println!();
        print_line(&format!(
            "The two queues of this run were deleted: {} and its dead-letter queue.",
            queue.url
        ));
    }
    Ok(ExitCode::from(u8::from(!is_complete)))
}

/// Creates the events and their holds. This can take seconds, and can be interrupted.
async fn prepare(events: usize, services: &Services) -> Result<Burst, Failure> {
    println!("preparing {events} events ...");
    let plan = BurstPlan { events, duplicates_percent: 20, poison: 0, name: String::new() };
    let burst = Burst::new(&plan).await;
    for hold in &burst.holds {
        services.create_hold(hold.clone())?;
        yield_now().await;
    }
    Ok(burst)
}

/// Waits until each event is deleted or in the dead-letter queue. Returns the time of the last progress.
async fn completed(pipeline: &Pipeline, events: usize) -> Result<Instant, Failure> {
    let (mut highest, mut last_progress) = (0, Instant::now());
    loop {
        let stats = pipeline.mapping.stats();
        let dead = pipeline.queue.dead_count().await?;
        let completed = usize::try_from(stats.done)? + dead;
        if completed > highest {
            (highest, last_progress) = (completed, Instant::now());
        }
        print_progress(completed.min(events), dead, events, stats.processes)?;
        if completed >= events || last_progress.elapsed() > STALLED_AFTER {
            println!();
            return Ok(last_progress);
        }
        sleep(PROGRESS_INTERVAL).await;
    }
}

fn print_progress(completed: usize, dead: usize, events: usize, processes: usize) -> Result<(), Failure> {
    if stdout().is_terminal() {
        let full = completed * BAR_WIDTH / events;
        let (done, rest) = ("#".repeat(full), " ".repeat(BAR_WIDTH - full));
        let processes = count(processes, "process", "processes");
        print!("\r\x1b[K[{done}{rest}] {completed} of {events}, {dead} dead, {processes}");
        stdout().flush()?;
    }
    Ok(())
}

/// Prints the findings. Returns whether every event had its effect.
fn print_findings(Findings { dead, violations }: &Findings) -> bool {
    println!();
    if !dead.is_empty() {
        let events = count(dead.values().sum(), "event is", "events are");
        print_line(&format!(
            "Dead letters: {events} in the dead-letter queue after {MAX_RETRIES} receives. A person must look at them."
        ));
        dead.iter().for_each(|(reason, number)| println!("  {reason}: {number}"));
    }
    if violations.is_empty() {
        let others = if dead.is_empty() { "Every event" } else { "Every other event" };
        print_line(&format!("All invariants hold. {others} had its effect, and no seat is sold twice."));
    } else {
        println!("Violations of the invariants of the contract (section 1): {}", violations.len());
        violations.iter().take(MAX_PRINTED).for_each(|finding| print_line(&format!("  {finding}")));
    }
    dead.is_empty() && violations.is_empty()
}

fn print_results(pipeline: &Pipeline, events: usize, duration: Duration) {
    let mut ages = pipeline.mapping.ages();
    ages.sort();
    let percentile = |percent: usize| {
        let age = ages.get((ages.len() * percent).div_ceil(100).saturating_sub(1));
        age.map_or_else(|| "-".to_owned(), |age| format!("{:.2} s", age.as_secs_f64()))
    };
    let stats = pipeline.mapping.stats();
    let mut outcomes = BTreeMap::<String, usize>::new();
    for line in pipeline.mapping.log_lines() {
        if let Some(outcome) = line["outcome"].as_str() {
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }
    let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
    let seconds = duration.as_secs_f64();
    println!("throughput: {:.0} events/s, {seconds:.1} s in total", events as f64 / seconds);
    print_line(
        "  The queue, the services and the function share this machine; make bench measures the function.",
    );
    println!(
        "time from sending to deletion: p50 {}, p95 {}, p99 {}",
        percentile(50),
        percentile(95),
        percentile(99)
    );
    print_line(&format!("outcomes: {}", outcomes.join(", ")));
    println!(
        "returned: {} deliveries; invocations: {} time-outs, {} crashes",
        stats.returned, stats.timeouts, stats.crashes
    );
}

fn print_line(text: &str) {
    println!("{}", fitted(text, stdout()));
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_preparation_of_events_can_be_interrupted() {
        let services = Services::start().await.unwrap();
        // A time-out is noticed only if the preparation pauses.
        assert!(timeout(Duration::ZERO, prepare(1_000, &services)).await.is_err());
        assert!(services.reservations().is_empty());
        assert_eq!(prepare(1_000, &services).await.unwrap().bodies.len(), 1_000);
    }
}
