//! Overload of one service of limited capacity, on the simulated clock (contract section 6).

mod scenario;

use std::time::Duration;

use reservation_worker_local::Service;
use scenario::Scenario;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn explore() {
    let var = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let number = |name: &str, default: &str| var(name, default).parse::<u64>().unwrap();
    let service = if var("SVC", "inv") == "inv" { Service::Inventory } else { Service::ReservationApi };
    let scenario = Scenario {
        service,
        service_concurrency: number("SC", "4") as usize,
        service_time: Duration::from_millis(number("ST", "50")),
        concurrency: number("PROCS", "5") as usize,
        has_retry_budget: var("BUDGET", "1") == "1",
        has_breaker: var("BREAKER", "1") == "1",
        after: number("AFTER", "240") as u32 * SECOND,
        is_drained: var("DRAIN", "0") == "1",
    };
    println!("{scenario:?}");
    let began = std::time::Instant::now();
    let report = scenario.run();
    for w in &report.windows {
        println!(
            "{:>5} arrived {:>5} done {:>5} {:>4.0} % attempts {:>5} ok {:>5} waiting {:>5} dlq {}",
            w.begins,
            w.arrived,
            w.done,
            w.goodput() * 100.0,
            w.attempts,
            w.successes,
            w.waiting,
            w.dead_letters
        );
    }
    println!(
        "dead {} most receives {} took {:?}",
        report.dead_letters,
        report.most_receives,
        began.elapsed()
    );
}
