//! The command `load`: sends a burst of events, measures how fast they are processed, and checks the
//! invariants.

mod invariants;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::burst::{Burst, BurstPlan};
use crate::options::{Failure, Options};
use crate::pipeline::Pipeline;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// The width of the progress bar in characters.
const BAR_WIDTH: usize = 40;
/// The run ends after this time without progress. It is longer than the visibility time-out.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// The largest number of violations that are printed.
const MAX_PRINTED: usize = 20;

/// Sends the events and waits until they are processed. The exit code is 1 if an invariant is violated.
pub(crate) async fn run(events: usize, options: Options) -> Result<ExitCode, Failure> {
    if events == 0 {
        return Err("N must be at least 1".into());
    }
    let pipeline = Pipeline::start(options, "release", []).await?;
    let burst = Burst::new(&BurstPlan { events, duplicates_percent: 20, poison: 0, name: String::new() });
    for hold in &burst.holds {
        pipeline.services.create_hold(hold.clone())?;
    }
    println!("{events} events for {} reservations", burst.holds.len());

    let started = Instant::now();
    let sending = pipeline.queue.send(burst.bodies.iter().map(String::as_str));
    let (sent, completed) = tokio::join!(sending, completed(&pipeline, events));
    sent?;
    let duration = completed?.duration_since(started);

    let violations = invariants::violations(&pipeline, &burst).await?;
    print_results(&pipeline, events, duration).await?;
    for violation in violations.iter().take(MAX_PRINTED) {
        println!("VIOLATION: {violation}");
    }
    match violations.len() {
        0 => println!("invariants: all hold"),
        count => println!("invariants: {count} violations"),
    }
    pipeline.mapping.stop().await;
    Ok(ExitCode::from(u8::from(!violations.is_empty())))
}

/// Waits until each event is deleted or in the dead-letter queue. Returns the time of the last progress.
async fn completed(pipeline: &Pipeline, events: usize) -> Result<Instant, Failure> {
    let (mut highest, mut last_progress) = (0, Instant::now());
    loop {
        let done = usize::try_from(pipeline.mapping.stats().done)?;
        let completed = done + pipeline.queue.dead_count().await?;
        if completed > highest {
            (highest, last_progress) = (completed, Instant::now());
        }
        print_progress(completed.min(events), events, &pipeline.status_line().await?)?;
        if completed >= events || last_progress.elapsed() > STALLED_AFTER {
            println!();
            return Ok(last_progress);
        }
        sleep(PROGRESS_INTERVAL).await;
    }
}

fn print_progress(completed: usize, events: usize, status_line: &str) -> Result<(), Failure> {
    if stdout().is_terminal() {
        let full = completed * BAR_WIDTH / events;
        print!("\r\x1b[K[{}{}] {status_line}", "#".repeat(full), " ".repeat(BAR_WIDTH - full));
        stdout().flush()?;
    }
    Ok(())
}

async fn print_results(pipeline: &Pipeline, events: usize, duration: Duration) -> Result<(), Failure> {
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
    println!("send to deletion: p50 {}, p95 {}, p99 {}", percentile(50), percentile(95), percentile(99));
    println!("outcomes: {}", outcomes.join(", "));
    let dead = pipeline.queue.dead_count().await?;
    println!(
        "errors: {} returned messages, {} time-outs, {} crashes, {dead} dead letters",
        stats.returned, stats.timeouts, stats.crashes
    );
    Ok(())
}
