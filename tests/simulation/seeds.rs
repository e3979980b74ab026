//! Runs seeds, side by side.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::plan::Plan;
use crate::{clock, function, trace, world};

/// What is counted, and the word that a line of the trace has for it.
const COUNTED: [(&str, &str); 11] = [
    ("messages", " is sent: "),
    ("invocations", " gets "),
    ("invocations killed", " is killed"),
    ("spells of bad weather", " of bad weather: "),
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
    for (what, count) in counts {
        println!("{:>9} {what}", count.into_inner());
    }
    assert_eq!(failed.into_inner(), 0, "of seeds {seeds:?}, so many break an invariant");
}
