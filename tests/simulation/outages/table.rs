//! The table of `docs/reliability.md`: outages under several loads, with and without the mechanisms against them.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use reservation_worker_local::Service;

use super::run::{Outage, OutageReport};
use crate::conditions::OutageMode;
use crate::deployment::Choice;

/// Prints a row for each load and variant.
pub fn print() {
    println!(
        "| load | variant | dead letters | receives per event | billed seconds | calls | processes | half done | all done | within 3 min |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let rows = Mutex::new(rows().into_iter());
    let work = || {
        while let Some((load, variant, outage)) = { rows.lock().unwrap().next() } {
            let row = row(load, variant, &outage.run());
            println!("{row}");
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

fn rows() -> Vec<(&'static str, &'static str, Outage)> {
    let default = Outage::new(Service::Inventory, OutageMode::RefusesConnections);
    let every = |milliseconds| Some(Duration::from_millis(milliseconds));
    let loads = [
        ("1 per minute", Outage { backlog: 0, interval: every(60_000), ..default.clone() }),
        ("400 at once", Outage { interval: None, ..default.clone() }),
        ("400 at once, 1 per second", default.clone()),
        ("10,000 at once", Outage { backlog: 10_000, interval: None, ..default.clone() }),
        ("10 per second", Outage { backlog: 0, interval: every(100), ..default }),
    ];
    let variants = |(load, outage): (&'static str, Outage)| {
        let mut variants = vec![
            (load, "before", Outage { is_unprotected: true, ..outage.clone() }),
            (load, "now", outage.clone()),
        ];
        let process_lifetime = Some(Duration::from_secs(300));
        variants.push((load, "random process", Outage { choice: Choice::Random, ..outage.clone() }));
        variants.push((load, "processes replaced", Outage { process_lifetime, ..outage.clone() }));
        if outage.interval.is_some() {
            variants.push((load, "no traffic after", Outage { has_traffic_after: false, ..outage }));
        }
        variants
    };
    loads.into_iter().flat_map(variants).collect()
}

fn row(load: &str, variant: &str, report: &OutageReport) -> String {
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
