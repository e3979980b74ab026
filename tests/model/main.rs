//! Searches every order in which the queue, the workers, the network and the services can act. The invariants
//! of the contract (section 1) must hold in every state.
//!
//! `cargo test --test model -- --nocapture` prints the size of the search, and the shortest counterexamples
//! to the other orders of the two steps.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "prints the size of the search and the counterexamples")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod search;
mod services;
mod world;

use reservation_worker::event::Event;
use world::{FirstStep, Scenario, all_events};

/// Multisets of `size` events. An event can occur more than once.
fn multisets(size: usize) -> Vec<Vec<Event>> {
    let Some(smaller) = size.checked_sub(1) else { return vec![Vec::new()] };
    let events = all_events();
    let index = |event: &Event| events.iter().position(|other| other == event);
    let with_one_more = |set: Vec<Event>| {
        let from = set.last().and_then(index).unwrap_or(0);
        events[from..]
            .iter()
            .map(|event| [&set[..], std::slice::from_ref(event)].concat())
            .collect::<Vec<_>>()
    };
    multisets(smaller).into_iter().flat_map(with_one_more).collect()
}

/// All scenarios with one to `max_events` events: two faults with one or two events, one fault with three.
fn scenarios(first: FirstStep, max_events: usize) -> impl Iterator<Item = Scenario> {
    let scenario =
        move |events: Vec<Event>| Scenario { first, faults: if events.len() < 3 { 2 } else { 1 }, events };
    (1..=max_events).flat_map(multisets).map(scenario)
}

#[test]
fn no_order_of_events_and_faults_breaks_an_invariant() {
    let (mut searched, mut states) = (0, 0);
    for scenario in scenarios(FirstStep::Status, 3) {
        let result = search::all_states(&scenario);
        if let Some(counterexample) = result.counterexample {
            panic!("{scenario}: {counterexample}");
        }
        assert!(result.end_states > 0, "{scenario} never ends");
        searched += 1;
        states += result.states;
    }
    println!("{searched} sets of events, {states} states, no invariant broken");
}

/// The reason why the status is updated first for all events. `docs/decisions.md` describes the
/// counterexamples.
#[test]
fn the_other_orders_of_the_two_steps_break_an_invariant() {
    let orders = [
        // The expiry releases the seat, the payment confirms the reservation, and then its commit must fail.
        (FirstStep::Release, "the seat of a confirmed reservation is sold"),
        // The payment sells the seat before it confirms the reservation. In between the inventory rejects the
        // release of the expiry, which becomes a dead letter although nothing needs to be repaired.
        (FirstStep::Seats, "an event succeeds, is superseded, or is rejected as a dead letter"),
    ];
    for (first, invariant) in orders {
        let counterexamples = scenarios(first, 2).filter_map(|scenario| {
            let counterexample = search::all_states(&scenario).counterexample?;
            Some((scenario, counterexample))
        });
        let (scenario, shortest) = counterexamples
            .min_by_key(|(_, counterexample)| counterexample.actions.len())
            .expect("every other order breaks an invariant");
        println!("{scenario}: {shortest}");
        assert_eq!(shortest.invariant, invariant, "{first:?} first");
    }
}
