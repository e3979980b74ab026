//! The function in bad weather: batch engine, workflow and clients as they are deployed, real servers, a
//! network that fails, a queue that repeats itself and processes that die, all drawn from a seed and lived in
//! simulated time. After each seed the contract's invariants hold (section 1).
//!
//! `make soak` runs many seeds, `make soak SEED=7` tells what happens in one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "progress, and what happened")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod calls;
mod clock;
mod events;
mod function;
mod invariants;
mod mapping;
mod network;
mod plan;
mod queue;
mod seeds;
mod trace;
mod weather;
mod world;

/// As many as `make test` has time for; `make soak` takes others.
const SEEDS: u64 = 200;

#[test]
fn no_seed_breaks_an_invariant() {
    let number = |variable| std::env::var(variable).ok().map(|value| value.parse::<u64>().unwrap());
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    seeds::run_all(first..first + number("SIMULATION_SEEDS").unwrap_or(SEEDS));
}

#[test]
fn a_seed_lives_the_same_life_again() {
    for seed in 0..10 {
        let [once, again] = [(); 2].map(|()| {
            seeds::run(seed);
            trace::take()
        });
        let differs = once.iter().zip(&again).position(|(once, again)| once != again);
        assert_eq!((differs, once.len()), (None, again.len()), "seed {seed}");
    }
}
