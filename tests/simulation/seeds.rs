//! Runs seeds in parallel and reports the results.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::plan::Plan;
use crate::{SEEDS, clock, function, trace, world};

/// The events that are counted, each with the text that identifies its trace lines.
const COUNTED: [(&str, &str); 24] = [
    ("messages", " is sent: "),
    ("duplicates", " is duplicated"),
    ("invocations", " gets "),
    ("invocations killed", " is killed"),
    ("periods of a faulty service", " begins: FaultyService"),
    ("periods of a slow link", " begins: SlowLink"),
    ("periods of a lossy link", " begins: LossyLink"),
    ("partitions of a link", " begins: Partition"),
    ("resets of a link", " begins: Reset"),
    ("outages of a link", " begins: Outage"),
    ("periods of a faulty queue", " begins: FaultyQueue"),
    ("pieces of data kept by a partition", "a partition keeps data"),
    ("connections broken", "a connection breaks"),
    ("connections reset", "a connection is reset"),
    ("connections refused", "a connection is refused"),
    ("calls without a reply", " got hang"),
    ("calls abandoned by the caller", " got abandoned"),
    ("records succeeded", "\"success\""),
    ("records superseded", "\"superseded\""),
    ("records ignored", "\"ignored\""),
    ("records retried", "\"retried\""),
    ("records deferred", "\"deferred\""),
    ("records failed", "\"failed\""),
    ("records with an invalid payload", "\"invalid_payload\""),
];

/// Runs one seed, with a trace.
///
/// # Panics
///
/// If an invariant is broken.
pub fn run(seed: u64) {
    function::collect_summaries();
    function::discard_summaries();
    trace::take();
    // The function draws its jitter from this generator.
    fastrand::seed(seed);
    clock::run(|clock| world::run(Plan::new(seed), clock))
}

/// Runs all seeds and prints the counts.
///
/// # Panics
///
/// If a seed breaks an invariant, or if an event of [`COUNTED`] never occurs in [`SEEDS`] seeds or more.
pub fn run_all(seeds: Range<u64>) {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(0);
    let counts = COUNTED.map(|(name, _)| (name, AtomicU64::new(0)));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed))
        {
            let broken = catch_unwind(AssertUnwindSafe(|| run(seed))).is_err();
            let lines = trace::take();
            for ((_, text), (_, count)) in COUNTED.iter().zip(&counts) {
                let found = lines.iter().filter(|line| line.contains(text)).count();
                count.fetch_add(found as u64, Ordering::Relaxed);
            }
            if seeds.end - seeds.start == 1 {
                println!("{}", lines.join("\n"));
            }
            if broken {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("seed {seed} breaks an invariant: make soak SEED={seed}");
            }
            let done = seed - seeds.start + 1;
            if done.is_multiple_of(500) {
                println!("{done} seeds, {} s", began.elapsed().as_secs());
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let counts = counts.map(|(name, count)| (name, count.into_inner()));
    counts.iter().for_each(|(name, count)| println!("{count:>9} {name}"));
    assert_eq!(failed.into_inner(), 0, "number of seeds of {seeds:?} that break an invariant");
    let missing: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    assert!(missing.is_empty() || seeds.end - seeds.start < SEEDS, "the seeds have no {missing:?}");
}
