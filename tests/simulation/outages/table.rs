//! The table of `docs/reliability.md`: outages under several loads, with and without the mechanisms against them.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use reservation_worker_local::Service;

use super::scenario::{Mode, Report, Scenario};
use crate::deployment::Choice;

/// Prints a row for each load and variant.
pub fn print() {
    println!(
        "| load | variant | dead letters | receives per event | billed seconds | calls | processes | half done | all done | within 3 min |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let rows = Mutex::new(rows().into_iter());
    let work = || {
        while let Some((load, variant, scenario)) = { rows.lock().unwrap().next() } {
            let row = row(load, variant, &scenario.run());
            println!("{row}");
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

fn rows() -> Vec<(&'static str, &'static str, Scenario)> {
    let default = Scenario::new(Service::Inventory, Mode::RefusesConnections);
    let every = |milliseconds| Some(Duration::from_millis(milliseconds));
    let loads = [
        ("1 per minute", Scenario { backlog: 0, interval: every(60_000), ..default.clone() }),
        ("400 at once", Scenario { interval: None, ..default.clone() }),
        ("400 at once, 1 per second", default.clone()),
        ("10,000 at once", Scenario { backlog: 10_000, interval: None, ..default.clone() }),
        ("10 per second", Scenario { backlog: 0, interval: every(100), ..default }),
    ];
    let variants = |(load, scenario): (&'static str, Scenario)| {
        let mut variants = vec![
            (load, "before", Scenario { is_before: true, ..scenario.clone() }),
            (load, "now", scenario.clone()),
        ];
        let process_lifetime = Some(Duration::from_secs(300));
        variants.push((load, "random process", Scenario { choice: Choice::Random, ..scenario.clone() }));
        variants.push((load, "processes replaced", Scenario { process_lifetime, ..scenario.clone() }));
        if scenario.interval.is_some() {
            variants.push((load, "no traffic after", Scenario { has_traffic_after: false, ..scenario }));
        }
        variants
    };
    loads.into_iter().flat_map(variants).collect()
}

fn row(load: &str, variant: &str, report: &Report) -> String {
    let events = report.events.iter().filter(|event| event.sent_before_recovery).count();
    let [half_done, all_done, share] = match report.done_within_three_minutes {
        None => ["–", "–", "–"].map(str::to_owned),
        Some(share) => [
            format!("{:.0} s", report.half_done.as_secs_f64()),
            format!("{:.0} s", report.all_done.as_secs_f64()),
            format!("{:.1} %", share * 100.0),
        ],
    };
    format!(
        "| {load} | {variant} | {} of {events} | {:.1} | {:.0} | {} | {} | {half_done} | {all_done} | {share} |",
        report.dead_letters(),
        report.receives_per_event(),
        report.billed.as_secs_f64(),
        report.calls,
        report.processes,
    )
}
