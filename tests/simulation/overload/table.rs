//! The tables of `docs/reliability.md`: the goodput over time, with and without the mechanisms against overload.

use std::thread;
use std::time::Duration;

use reservation_worker_local::Service;

use super::run::Overload;
use super::{SECOND, SERVICES};

/// The name of each variant, and whether it has the retry budget and the breaker.
const VARIANTS: [(&str, bool, bool); 4] = [
    ("budget, breaker and limit", true, true),
    ("no budget", false, true),
    ("no breaker or limit", true, false),
    ("none", false, false),
];

/// Prints a table for each service.
pub fn print() {
    for service in SERVICES {
        let run = |(_, has_retry_budget, has_breaker)| {
            move || overload(service, has_retry_budget, has_breaker).run()
        };
        let reports = thread::scope(|scope| {
            let threads = VARIANTS.map(|variant| scope.spawn(run(variant)));
            threads.map(|thread| thread.join().unwrap())
        });
        println!("| {service:?}, seconds | {} |", VARIANTS.map(|(name, ..)| name).join(" | "));
        println!("|--:|--:|--:|--:|--:|");
        for (number, window) in reports[0].windows.iter().enumerate() {
            let cells = reports.each_ref().map(|report| {
                let window = &report.windows[number];
                format!("{:.0} % ({})", window.goodput() * 100.0, window.calls)
            });
            println!("| {} | {} |", window.begins, cells.join(" | "));
        }
        print_row("dead letters", reports.each_ref().map(|report| report.dead_letters().to_string()));
        print_row(
            "largest number of receives of an event",
            reports.each_ref().map(|report| report.most_receives.to_string()),
        );
        let seconds = |time: Duration| time.as_secs().to_string();
        print_row(
            "seconds after the overload until the queue was empty",
            reports.each_ref().map(|report| report.drained_after.map_or("–".to_owned(), seconds)),
        );
    }
}

fn overload(service: Service, has_retry_budget: bool, has_breaker: bool) -> Overload {
    let (service_time, concurrency) = match service {
        Service::ReservationApi => (SECOND / 10, 20),
        Service::Inventory => (SECOND / 20, 5),
    };
    Overload {
        service,
        service_concurrency: 2,
        service_time,
        concurrency,
        has_retry_budget,
        has_breaker,
        after: 180 * SECOND,
        is_drained: has_breaker,
    }
}

fn print_row(name: &str, cells: [String; VARIANTS.len()]) {
    println!("| {name} | {} |", cells.join(" | "));
}
