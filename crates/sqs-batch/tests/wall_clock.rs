//! The simulated wall clock applies to the whole process, so this test has a process of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqs_batch::{ClockReading, Deadline};

const SIMULATED: Duration = Duration::from_secs(1_000_000_000);

fn simulated() -> SystemTime {
    UNIX_EPOCH + SIMULATED
}

#[tokio::test(start_paused = true)]
async fn the_first_simulated_wall_clock_replaces_the_wall_clock_of_the_process() {
    ClockReading::simulate_wall_clock(simulated);
    ClockReading::simulate_wall_clock(SystemTime::now);
    assert_eq!(ClockReading::now().time, simulated());
    let deadline = Deadline::at(simulated() + Duration::from_secs(30));
    assert_eq!(deadline.left(), Duration::from_secs(30));
}
