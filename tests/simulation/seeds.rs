//! Runs seeds, side by side.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::plan::Plan;
use crate::{SEEDS, clock, function, trace, world};

/// What is counted, and the word that a line of the trace has for it.
const COUNTED: [(&str, &str); 24] = [
    ("messages", " is sent: "),
    ("duplicates", " comes twice"),
    ("invocations", " gets "),
    ("invocations killed", " is killed"),
    ("spells of a faulty service", " of bad weather: Fault"),
    ("spells of a slow link", " of bad weather: Slow"),
    ("spells of a lossy link", " of bad weather: Lossy"),
    ("partitions", " of bad weather: Cut"),
    ("resets of a link", " of bad weather: Reset"),
    ("spells without connections", " of bad weather: Down"),
    ("spells of a refusing queue", " of bad weather: Queue"),
    ("pieces kept by a partition", "a piece is kept"),
    ("connections broken", "a connection breaks"),
    ("connections reset", "a connection is reset"),
    ("connections refused", "a connection is refused"),
    ("calls left without a reply", " got hang"),
    ("calls that the caller gave up", " got abandoned"),
    ("records succeeded", "\"success\""),
    ("records superseded", "\"superseded\""),
    ("records ignored", "\"ignored\""),
    ("records retried", "\"retried\""),
    ("records deferred", "\"deferred\""),
    ("records failed", "\"failed\""),
    ("records not understood", "\"invalid_payload\""),
];

/// Lives one seed, and traces it.
pub fn run(seed: u64) {
    function::listen();
    function::forget();
    trace::take();
    // The function's own jitter.
    fastrand::seed(seed);
    clock::run(|clock| world::live(Plan::new(seed), clock))
}

/// Panics when an invariant was broken, after all seeds.
pub fn run_all(seeds: Range<u64>) {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(0);
    let counts = COUNTED.map(|(what, _)| (what, AtomicU64::new(0)));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed))
        {
            let broken = catch_unwind(AssertUnwindSafe(|| run(seed))).is_err();
            let lines = trace::take();
            for ((_, word), (_, count)) in COUNTED.iter().zip(&counts) {
                let found = lines.iter().filter(|line| line.contains(word)).count();
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
    let counts = counts.map(|(what, count)| (what, count.into_inner()));
    counts.iter().for_each(|(what, count)| println!("{count:>9} {what}"));
    assert_eq!(failed.into_inner(), 0, "of seeds {seeds:?}, so many break an invariant");
    let missing: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect();
    assert!(missing.is_empty() || seeds.end - seeds.start < SEEDS, "the weather is too fair: no {missing:?}");
}
