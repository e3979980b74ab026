//! Searches every order in which the queue, the workers, the network and the services can act. The invariants of the
//! contract (section 1) must hold in every state, and under fairness every event must end.
//!
//! `cargo test --test model -- --nocapture` prints the size of the search, and counterexamples to other orders of the
//! two steps and to other breakers.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "prints the size of the search and the counterexamples")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod liveness;
mod scenario;
mod search;
mod services;
mod world;

use std::time::Duration;

use reservation_worker::call::Service;
use reservation_worker::config::Config;
use scenario::{FirstStep, Probing, Scenario, multisets};
use sqs_batch::{Jitter, Redelivery};
use strum::VariantArray;
use world::Action;

/// All scenarios without an outage and with one to `max_events` events: two faults with one or two events, one fault
/// with three.
fn without_outage(first: FirstStep, max_events: usize) -> impl Iterator<Item = Scenario> {
    let scenario = move |events: Vec<_>| Scenario {
        first,
        probing: Probing::OneAfterTheOther,
        faults: if events.len() < 3 { 2 } else { 1 },
        events,
        outage: None,
    };
    (1..=max_events).flat_map(multisets).map(scenario)
}

/// All scenarios with an outage of either service, one fault, and one or two events.
fn with_outage(probing: Probing) -> impl Iterator<Item = Scenario> {
    let scenarios = move |service: &Service| {
        let outage = Some(*service);
        (1..=2).flat_map(multisets).map(move |events| Scenario {
            first: FirstStep::Status,
            probing,
            events,
            faults: 1,
            outage,
        })
    };
    Service::VARIANTS.iter().flat_map(scenarios)
}

/// Searches for broken invariants and for fair runs that never end.
fn assert_correct(kind: &str, scenarios: impl Iterator<Item = Scenario>) {
    let (mut searched, mut states, mut transitions) = (0, 0, 0);
    for scenario in scenarios {
        let graph = search::all_states(&scenario)
            .unwrap_or_else(|counterexample| panic!("{scenario}: {counterexample}"));
        if let Some(run) = liveness::endless_run(&graph) {
            panic!("{scenario}: {run}");
        }
        searched += 1;
        states += graph.node_count();
        transitions += graph.edge_count();
    }
    println!("{searched} sets of events {kind}: {states} states, {transitions} transitions, all correct");
}

#[test]
fn no_order_of_events_and_faults_breaks_an_invariant_or_leaves_an_event_unfinished() {
    assert_correct("without an outage", without_outage(FirstStep::Status, 3));
}

#[test]
fn no_order_of_events_and_faults_during_an_outage_breaks_an_invariant_or_leaves_an_event_unfinished() {
    assert_correct("with an outage", with_outage(Probing::OneAfterTheOther));
}

/// Why the model need not count the receives that are returned because of an outage: `world/outage.rs` explains it.
#[test]
fn the_back_offs_before_the_last_receive_are_longer_than_the_outage() {
    for (max_receives, minutes) in [(None, 20), (Some("10"), 60)] {
        let config = Config::from_lookup(|variable| match variable {
            "INVENTORY_GRPC_ADDR" => Some("inventory:50051".to_owned()),
            "RESERVATION_API_BASE" => Some("https://reservations".to_owned()),
            "MAX_RETRIES" => max_receives.map(str::to_owned),
            _ => None,
        });
        let config = config.unwrap();
        let max_receives = config.batch.max_receives;
        let redelivery = Redelivery::AfterOutage { cause: "", at_least: Duration::ZERO };
        let shortest = Jitter { stretch: 0.0, rounding: 1.0 };
        let backoff =
            |receives| config.backoff.visibility_timeout(receives, max_receives, redelivery, shortest);
        let seconds: i32 = (1..max_receives).map(backoff).sum();
        assert!(seconds > minutes * 60, "{max_receives} receives: {seconds} s");
    }
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
        let counterexamples = without_outage(first, 2).filter_map(|scenario| {
            let counterexample = search::all_states(&scenario).err()?;
            Some((scenario, counterexample))
        });
        let (scenario, shortest) = counterexamples
            .min_by_key(|(_, counterexample)| counterexample.actions.len())
            .expect("every other order breaks an invariant");
        println!("{scenario}: {shortest}");
        assert_eq!(shortest.invariant, invariant, "{first:?} first");
    }
}

#[test]
fn with_a_breaker_that_does_not_probe_an_event_is_deferred_for_ever() {
    for probing in [Probing::Never, Probing::UntilOneIsCutOff] {
        let endless_runs =
            with_outage(probing).filter(|scenario| scenario.events.len() == 1).filter_map(|scenario| {
                let graph =
                    search::all_states(&scenario).unwrap_or_else(|broken| panic!("{scenario}: {broken}"));
                let run = liveness::endless_run(&graph)?;
                Some((scenario, run))
            });
        let (scenario, shortest) = endless_runs
            .min_by_key(|(_, run)| run.beginning.len() + run.cycle.len())
            .expect("without a probe an event is deferred for ever");
        println!("{scenario}: {shortest}");
        assert!(shortest.beginning.contains(&Action::EndOutage), "the service has recovered");
        let defers = [Action::Deliver { message: 0 }, Action::ReachDeadline { worker: 0 }];
        assert!(defers.iter().all(|action| shortest.cycle.contains(action)), "{:?}", shortest.cycle);
    }
}
