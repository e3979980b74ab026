//! A burst of events: how fast they are done, and whether everything is as it must be afterwards.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reservation_worker_local::{SeatState, Status};
use tokio::time::sleep;

use crate::stand::Stand;
use crate::{Failure, Options};

mod burst;

use burst::Burst;

const ROUND: Duration = Duration::from_millis(100);
const BAR: usize = 40;
/// Without any progress for so long, it is over: longer than the visibility time-out.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many broken rules are shown.
const SHOWN: usize = 20;

/// Plays the burst; fails when an invariant does not hold.
pub(crate) async fn run(events: usize, options: Options) -> Result<ExitCode, Failure> {
    if events == 0 {
        return Err("N is at least 1".into());
    }
    let stand = Stand::start(options).await?;
    let burst = Burst::of(events);
    for hold in &burst.holds {
        stand.services.create_hold(hold.clone())?;
    }
    println!("{events} events about {} reservations", burst.holds.len());

    let started = Instant::now();
    let sending = stand.queue.send(burst.bodies.iter().map(String::as_str));
    let (sent, settled) = tokio::join!(sending, settled(&stand, events));
    sent?;
    let took = settled?.duration_since(started);

    let broken = broken(&stand, &burst).await?;
    report(&stand, events, took).await?;
    for rule in broken.iter().take(SHOWN) {
        println!("BROKEN: {rule}");
    }
    match broken.len() {
        0 => println!("invariants: all hold"),
        count => println!("invariants: {count} times broken"),
    }
    stand.running.stop().await;
    Ok(ExitCode::from(u8::from(!broken.is_empty())))
}

/// Waits until each event is done or dead; when the last one was.
async fn settled(stand: &Stand, events: usize) -> Result<Instant, Failure> {
    let (mut best, mut progress) = (0, Instant::now());
    loop {
        let done = usize::try_from(stand.running.stats().done)?;
        let ended = done + stand.queue.dead_count().await?;
        if ended > best {
            (best, progress) = (ended, Instant::now());
        }
        bar(ended.min(events), events, &stand.line().await?)?;
        if ended >= events || progress.elapsed() > PATIENCE {
            println!();
            return Ok(progress);
        }
        sleep(ROUND).await;
    }
}

fn bar(ended: usize, events: usize, line: &str) -> Result<(), Failure> {
    if stdout().is_terminal() {
        let full = ended * BAR / events;
        print!("\r\x1b[K[{}{}] {line}", "#".repeat(full), " ".repeat(BAR - full));
        stdout().flush()?;
    }
    Ok(())
}

async fn report(stand: &Stand, events: usize, took: Duration) -> Result<(), Failure> {
    let mut ages = stand.running.ages();
    ages.sort();
    let percentile = |percent: usize| {
        let age = ages.get((ages.len() * percent).div_ceil(100).saturating_sub(1));
        age.map_or_else(|| "-".to_owned(), |age| format!("{:.2} s", age.as_secs_f64()))
    };
    let stats = stand.running.stats();
    let mut outcomes = BTreeMap::<String, usize>::new();
    for line in stand.running.log_lines() {
        if let Some(outcome) = line["outcome"].as_str() {
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }
    let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
    println!("{:.0} events/s, {:.1} s in all", events as f64 / took.as_secs_f64(), took.as_secs_f64());
    println!("send to outcome: p50 {}, p95 {}, p99 {}", percentile(50), percentile(95), percentile(99));
    println!("outcomes: {}", outcomes.join(", "));
    let dead = stand.queue.dead_count().await?;
    println!(
        "errors: {} returned, {} time-outs, {} crashes, {dead} dead",
        stats.returned, stats.timeouts, stats.crashes
    );
    Ok(())
}

/// What of contract section 1 does not hold.
async fn broken(stand: &Stand, burst: &Burst) -> Result<Vec<String>, Failure> {
    let mut broken = Vec::new();
    let mut sold = HashMap::new();
    for hold in &burst.holds {
        let id = &hold.reservation_id;
        let status = stand.services.reservation(id).map(|reservation| reservation.status);
        let expected = burst.expected.get(id).copied();
        if status != expected {
            broken.push(format!("{id} is {status:?}, its event said {expected:?}"));
        }
        let seats = stand.services.seat_state(id);
        let agree = match status {
            Some(Status::Confirmed) => seats == Some(SeatState::Sold),
            Some(Status::Expired | Status::Cancelled) => seats == Some(SeatState::Available),
            Some(Status::Hold) | None => false,
        };
        if !agree {
            broken.push(format!("{id} is {status:?}, its seats are {seats:?}"));
        }
        for (seat_id, state) in stand.services.seats(id) {
            if seat_id.starts_with('#') || state != SeatState::Sold {
                continue;
            }
            if let Some(other) = sold.insert((&hold.event_id, seat_id.clone()), id) {
                broken.push(format!("seat {seat_id} is sold to {other} and {id}"));
            }
        }
    }
    let (visible, kept) = stand.queue.depth().await?;
    if visible + kept > 0 {
        broken.push(format!("{} messages are still in the queue", visible + kept));
    }
    for (message_id, _, receives) in stand.queue.dead().await? {
        broken.push(format!("message {message_id} is dead after {receives} receives"));
    }
    Ok(broken)
}
