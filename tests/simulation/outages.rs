//! Outages of one service, on the simulated clock (contract sections 1 and 6).
//!
//! In `make test`, the outages of 20 minutes and of an hour have few processes and a moderate load. With the variable
//! `OUTAGES=all` these have 50 concurrent invocations and one event per second. With `OUTAGES=table` the test
//! `table_is_printed_if_it_is_requested` prints the table of `docs/reliability.md`.

mod partial;
mod run;
mod table;

use std::time::Duration;

use reservation_worker_local::Service;
use run::{Outage, OutageReport, SERVICES, modes};

use crate::conditions::OutageMode;
use crate::deployment::queue::End;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn is_requested(outages: &str) -> bool {
    std::env::var("OUTAGES").is_ok_and(|requested| requested == outages)
}

/// Runs an outage, and checks what holds in every outage.
fn run(outage: Outage) -> OutageReport {
    let name = format!("{outage:?}");
    let max_receives = outage.max_receives;
    let report = outage.run();
    assert_eq!(report.dead_letters(), 0, "dead letters of {name}");
    assert!(report.most_calls <= 1, "{} calls within BREAKER_OPEN_MS in {name}", report.most_calls);
    for poison in &report.poison {
        assert_eq!((poison.end, poison.receives), (End::DeadLetter, max_receives), "poison of {name}");
    }
    report
}

fn moderate(service: Service, mode: OutageMode) -> Outage {
    let outage = Outage::new(service, mode);
    if is_requested("all") {
        return outage;
    }
    Outage { backlog: 60, interval: Some(15 * SECOND), concurrency: 3, ..outage }
}

fn twenty_minutes(service: Service) {
    for mode in modes(service) {
        run(Outage { poison_interval: Some(MINUTE), ..moderate(service, mode) });
    }
}

#[test]
fn twenty_minutes_without_the_reservation_api_put_no_event_into_the_dlq() {
    twenty_minutes(Service::ReservationApi);
}

#[test]
fn twenty_minutes_without_the_inventory_put_no_event_into_the_dlq() {
    twenty_minutes(Service::Inventory);
}

#[test]
fn twenty_minutes_without_a_service_put_no_event_of_a_fifo_queue_into_the_dlq() {
    for (service, mode) in SERVICES.into_iter().zip([OutageMode::Denied, OutageMode::RefusesConnections]) {
        run(Outage { is_fifo: true, poison_interval: Some(MINUTE), ..moderate(service, mode) });
    }
}

fn one_hour(service: Service) {
    for mode in modes(service) {
        let outage = moderate(service, mode);
        run(Outage { length: 60 * MINUTE, max_receives: 10, poison_interval: Some(10 * MINUTE), ..outage });
    }
}

#[test]
fn an_hour_without_the_reservation_api_puts_no_event_into_the_dlq_at_ten_receives() {
    one_hour(Service::ReservationApi);
}

#[test]
fn an_hour_without_the_inventory_puts_no_event_into_the_dlq_at_ten_receives() {
    one_hour(Service::Inventory);
}

#[test]
fn a_poison_message_is_in_the_dlq_after_one_invocation_per_receive() {
    let longest = 5 * Duration::from_secs(30);
    for service in SERVICES {
        let outage = Outage::new(service, OutageMode::Unavailable);
        let outage =
            Outage { backlog: 0, interval: Some(MINUTE), poison_interval: Some(50 * SECOND), ..outage };
        let report = run(outage);
        assert!(!report.poison.is_empty());
        for poison in &report.poison {
            assert!(poison.waited <= longest, "{poison:?}");
        }
    }
}

#[test]
fn a_backlog_of_400_is_done_within_three_minutes_of_the_recovery() {
    for (service, mode) in SERVICES.into_iter().zip([OutageMode::Hangs, OutageMode::RefusesConnections]) {
        let report = run(Outage { concurrency: 10, ..Outage::new(service, mode) });
        assert!(report.half_done <= MINUTE, "half after {:?} without the {service:?}", report.half_done);
        assert!(report.all_done <= 3 * MINUTE, "all after {:?} without the {service:?}", report.all_done);
    }
}

#[test]
fn after_an_outage_the_backlog_of_a_slow_service_is_done_within_three_minutes() {
    for service in SERVICES {
        let outage = Outage::new(service, OutageMode::Unavailable);
        // The time-out of the inventory is 250 ms.
        let latency = Duration::from_millis(if service == Service::Inventory { 100 } else { 300 });
        let report = run(Outage { backlog: 0, concurrency: 10, latency, ..outage });
        assert!(report.half_done <= MINUTE, "half after {:?} without the {service:?}", report.half_done);
        assert!(report.all_done <= 3 * MINUTE, "all after {:?} without the {service:?}", report.all_done);
    }
}

#[test]
fn a_short_outage_delays_no_event_by_more_than_forty_seconds() {
    for service in SERVICES {
        for seconds in [2, 10, 30] {
            let outage = Outage {
                length: seconds * SECOND,
                backlog: 20,
                concurrency: 10,
                ..Outage::new(service, OutageMode::RefusesConnections)
            };
            let unprotected = Outage { is_unprotected: true, ..outage.clone() }.run();
            let protected = run(outage);
            for (unprotected, protected) in unprotected.events.iter().zip(&protected.events) {
                let is_late =
                    unprotected.end == End::Deleted && protected.waited > unprotected.waited + 40 * SECOND;
                assert!(!is_late, "{seconds} s without the {service:?}: {unprotected:?}, now {protected:?}");
            }
        }
    }
}

/// In the table, the inventory refuses connections for 20 minutes, with 50 concurrent invocations. Checks nothing.
#[test]
fn table_is_printed_if_it_is_requested() {
    if is_requested("table") {
        table::print();
    }
}
