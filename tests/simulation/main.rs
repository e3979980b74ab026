//! The function under failure conditions, in simulated time. The batch engine, the workflow and the clients are those
//! that are deployed. The servers are real, the network fails, the queue delivers messages more than once, and
//! processes are killed, frozen and retired. A seed determines everything that happens. After each seed the invariants
//! of the contract (section 1) must hold.
//!
//! `make soak` runs many seeds. `make soak SEED=7` prints what happens in one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "prints the progress and the trace of a seed")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bookings;
mod calls;
mod clock;
mod conditions;
mod counts;
mod deployment;
mod events;
mod function;
mod invariants;
mod mapping;
mod network;
mod outages;
mod overload;
mod plan;
mod queue;
mod seeds;
mod trace;
mod world;

#[test]
fn a_seed_produces_the_same_trace_twice() {
    for seed in 0..10 {
        let [first, second] = [(); 2].map(|()| {
            seeds::run(seed);
            trace::take()
        });
        let difference = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!((difference, first.len()), (None, second.len()), "seed {seed}");
    }
}
