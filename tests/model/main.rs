//! Every order in which queue, workers, network and services can act, searched to the end: the contract's
//! invariants hold in all of them (contract section 1).
//!
//! `cargo test --test model -- --nocapture` prints how much was searched, and why seats are not first.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "what was searched")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod search;
mod services;
mod world;

use reservation_worker::event::Event;
use world::{First, Scenario, event_kinds};

/// Sets of `size` events of any kinds, the same kind more than once included.
fn sets(size: usize) -> Vec<Vec<Event>> {
    let Some(smaller) = size.checked_sub(1) else { return vec![Vec::new()] };
    let kinds = event_kinds();
    let place = |event: &Event| kinds.iter().position(|kind| kind == event);
    let with_one_more = |set: Vec<Event>| {
        let from = set.last().and_then(place).unwrap_or(0);
        kinds[from..].iter().map(|kind| [&set[..], std::slice::from_ref(kind)].concat()).collect::<Vec<_>>()
    };
    sets(smaller).into_iter().flat_map(with_one_more).collect()
}

/// One or two events with two faults, three with one.
fn scenarios(first: First, most_events: usize) -> impl Iterator<Item = Scenario> {
    let scenario =
        move |events: Vec<Event>| Scenario { first, faults: if events.len() < 3 { 2 } else { 1 }, events };
    (1..=most_events).flat_map(sets).map(scenario)
}

#[test]
fn no_order_of_events_and_faults_breaks_an_invariant() {
    let (mut searched, mut states) = (0, 0);
    for scenario in scenarios(First::Status, 3) {
        let found = search::all(&scenario);
        if let Some(broken) = found.broken {
            panic!("{scenario}: {broken}");
        }
        assert!(found.ends > 0, "{scenario} never ends");
        searched += 1;
        states += found.states;
    }
    println!("{searched} sets of events, {states} states, no invariant broken");
}

/// Why the status is first, for all events: `docs/decisions.md` tells these stories.
#[test]
fn the_other_orders_of_the_two_steps_break_an_invariant() {
    let orders = [
        // The expiry releases, the payment confirms, and its commit must fail.
        (First::Release, "a confirmed reservation has its seat sold"),
        // The payment sells and dies before it confirms; the expiry is refused until it is dead, for nothing.
        (First::Seats, "an event is done, superseded, or rejected into the dead-letter queue"),
    ];
    for (first, invariant) in orders {
        let broken = scenarios(first, 2).filter_map(|scenario| {
            let broken = search::all(&scenario).broken?;
            Some((scenario, broken))
        });
        let (scenario, broken) =
            broken.min_by_key(|(_, broken)| broken.story.len()).expect("another order breaks something");
        println!("{scenario}: {broken}");
        assert_eq!(broken.invariant, invariant, "{first:?} first");
    }
}
