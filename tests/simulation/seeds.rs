//! Runs seeds in parallel, and checks that everything that can happen has happened in some seed.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use reservation_worker::reason::Reason;

use crate::counts::{Count, counts};
use crate::plan::Plan;
use crate::{clock, function, trace, world};

/// The number of seeds in `make test`, limited by its run time. `make soak` sets other numbers.
const SEEDS: u64 = 200;

/// The reason codes that no seed may have, each with the cause.
const IMPOSSIBLE: [(Reason, &str); 1] =
    [(Reason::Panicked, "nothing makes the worker panic: this is a defect")];

/// The seeds that all tests of this module refer to.
static REPORT: LazyLock<SeedsReport> = LazyLock::new(|| {
    let number = |variable| std::env::var(variable).ok().map(|value| value.parse::<u64>().unwrap());
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    run_all(first..first + number("SIMULATION_SEEDS").unwrap_or(SEEDS))
});

struct SeedsReport {
    seeds: Range<u64>,
    /// The seeds that break an invariant.
    failed: Vec<u64>,
    counts: Vec<Count>,
}

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

/// Runs all seeds, and prints the counts and the commands that repeat the run and each seed that breaks an invariant.
/// The trace is printed if there is only one seed.
fn run_all(seeds: Range<u64>) -> SeedsReport {
    let (began, length) = (Instant::now(), seeds.end - seeds.start);
    println!("seeds {seeds:?}: make soak FIRST={} SEEDS={length}", seeds.start);
    let next = AtomicU64::new(seeds.start);
    let counts = counts();
    let work = || {
        let mut failed = Vec::new();
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed))
        {
            let is_broken = catch_unwind(AssertUnwindSafe(|| run(seed))).is_err();
            let lines = trace::take();
            counts.iter().for_each(|count| count.add(&lines));
            if length == 1 {
                println!("{}", lines.join("\n"));
            }
            if is_broken {
                failed.push(seed);
                println!("seed {seed} breaks an invariant: make soak SEED={seed}");
            }
            let done = seed - seeds.start + 1;
            if done.is_multiple_of(500) {
                println!("{done} seeds, {} s", began.elapsed().as_secs());
            }
        }
        failed
    };
    let failed = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    counts.iter().for_each(|count| println!("{count}"));
    SeedsReport { seeds, failed, counts }
}

impl SeedsReport {
    /// The kinds of this group that are in no seed, if the run is long enough to contain each of them.
    fn missing(&self, group: &str) -> Vec<&str> {
        let counts = self.counts.iter().filter(|count| count.group == group);
        let is_long = self.seeds.end - self.seeds.start >= SEEDS;
        counts.filter(|count| is_long && count.is_zero()).map(|count| count.name.as_str()).collect()
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    assert_eq!(REPORT.failed, [0; 0], "the seeds of {:?} that break an invariant", REPORT.seeds);
}

#[test]
fn every_kind_of_failure_and_outcome_occurs_in_some_seed() {
    assert_eq!(REPORT.missing("occurrences"), [""; 0]);
}

#[test]
fn every_type_shape_and_spelling_of_events_is_sent_in_some_seed() {
    assert_eq!(REPORT.missing("events"), [""; 0]);
}

#[test]
fn every_reason_code_occurs_in_some_seed_unless_it_is_impossible() {
    let impossible = IMPOSSIBLE.map(|(reason, _)| reason.as_str());
    let mut missing = REPORT.missing("reason codes");
    missing.retain(|code| !impossible.contains(code));
    assert_eq!(missing, [""; 0]);
    for (reason, cause) in IMPOSSIBLE {
        let count = REPORT.counts.iter().find(|count| count.name == reason.as_str()).unwrap();
        assert!(count.is_zero(), "{count}, but {cause}");
    }
}
