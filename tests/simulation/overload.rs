//! Overload of one service of limited capacity, on the simulated clock (contract section 6).
//!
//! `make test` runs it for a small service. With `OVERLOAD=table` the test `table_is_printed_if_it_is_requested` prints
//! the table of `docs/reliability.md`, for a larger one.

mod run;
mod table;

use std::time::Duration;

use reservation_worker_local::Service;
use run::{Overload, OverloadReport, Window};

const SECOND: Duration = Duration::from_secs(1);
/// The goodput must be back this long after the overload.
const RECOVERY_SECONDS: i64 = 120;
const SERVICES: [Service; 2] = [Service::ReservationApi, Service::Inventory];

/// A service that handles ten requests per second. The processes can have so many calls in progress that each of them
/// waits longer than its time-out.
fn small(service: Service) -> Overload {
    Overload {
        service,
        service_concurrency: 1,
        service_time: SECOND / 10,
        concurrency: match service {
            Service::ReservationApi => 5,
            Service::Inventory => 2,
        },
        has_retry_budget: true,
        has_breaker: true,
        after: 140 * SECOND,
        is_drained: false,
    }
}

fn after_recovery(report: &OverloadReport) -> impl Iterator<Item = &Window> {
    let windows: Vec<_> = report.windows.iter().filter(|window| window.begins >= RECOVERY_SECONDS).collect();
    assert!(!windows.is_empty());
    windows.into_iter()
}

#[test]
fn the_goodput_returns_within_two_minutes_after_an_overload_of_the_reservation_api() {
    returns(Service::ReservationApi);
}

#[test]
fn the_goodput_returns_within_two_minutes_after_an_overload_of_the_inventory() {
    returns(Service::Inventory);
}

fn returns(service: Service) {
    let report = Overload { is_drained: true, ..small(service) }.run();
    for window in after_recovery(&report) {
        assert!(window.goodput() >= 0.95, "{window:?}");
    }
    assert_eq!(report.dead_letters(), 0);
}

#[test]
fn without_the_retry_budget_and_the_breaker_the_goodput_does_not_return() {
    for service in SERVICES {
        let report = Overload { has_retry_budget: false, has_breaker: false, ..small(service) }.run();
        assert!(report.windows[0].goodput() >= 0.95, "before the overload of the {service:?}: {report:?}");
        for window in after_recovery(&report) {
            assert!(window.goodput() <= 0.05, "{window:?} after an overload of the {service:?}");
        }
    }
}

/// Checks nothing.
#[test]
fn table_is_printed_if_it_is_requested() {
    if std::env::var("OVERLOAD").is_ok_and(|requested| requested == "table") {
        table::print();
    }
}
