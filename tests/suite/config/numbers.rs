//! Numeric variables: their bounds, and values that are not whole numbers.

use reservation_worker::config::Config;

use super::{problem, read};

/// A numeric variable, a function that returns its setting, and its smallest and its largest value.
type Number = (&'static str, fn(&Config) -> u128, u128, u128);

const NUMBERS: [Number; 9] = [
    ("WORKER_CONCURRENCY", |config| config.batch.concurrency as u128, 1, 1_000),
    ("MAX_RETRIES", |config| config.batch.max_receives.into(), 1, 1_000),
    ("BACKOFF_BASE_MS", |config| config.backoff.base.as_millis(), 1, TWELVE_HOURS),
    ("BACKOFF_MAX_MS", |config| config.backoff.max.as_millis(), 1, TWELVE_HOURS),
    ("INVENTORY_TIMEOUT_MS", |config| config.inventory.timeout.as_millis(), 1, FIFTEEN_MINUTES),
    ("RESERVATION_API_TIMEOUT_MS", |config| config.reservation_api.timeout.as_millis(), 1, FIFTEEN_MINUTES),
    ("BREAKER_FAILURES", |config| config.inventory.breaker.failures.into(), 0, 1_000_000),
    ("BREAKER_OPEN_MS", |config| config.inventory.breaker.open_for.as_millis(), 0, FIFTEEN_MINUTES),
    ("DEADLINE_RESERVE_MS", |config| config.batch.deadline_reserve.as_millis(), 0, FIFTEEN_MINUTES),
];

/// The longest visibility time-out of SQS, in milliseconds.
const TWELVE_HOURS: u128 = 12 * 3_600_000;
/// The longest duration of a Lambda invocation, in milliseconds.
const FIFTEEN_MINUTES: u128 = 900_000;

#[test]
fn a_number_is_accepted_only_within_its_bounds() {
    for (variable, get, smallest, largest) in NUMBERS {
        for accepted in [smallest, smallest + 1, largest - 1, largest] {
            // BACKOFF_BASE_MS may not exceed BACKOFF_MAX_MS.
            let base = if variable == "BACKOFF_BASE_MS" { accepted } else { 1 };
            let max = if variable == "BACKOFF_MAX_MS" { accepted } else { TWELVE_HOURS };
            let (base, max) = (base.to_string(), max.to_string());
            let mut variables = vec![("BACKOFF_BASE_MS", &*base), ("BACKOFF_MAX_MS", &*max)];
            let accepted_text = accepted.to_string();
            variables.push((variable, &accepted_text));
            let config = read(&variables).unwrap();
            assert_eq!(get(&config), accepted, "{variable}");
        }
        let below = smallest.checked_sub(1).map_or("-1".to_owned(), |below| below.to_string());
        for refused in [below, (largest + 1).to_string()] {
            let problem = problem(&[(variable, &*refused)]);
            let message = format!("{variable}={refused}: is not a whole number from {smallest} to {largest}");
            assert_eq!(problem, message);
        }
    }
}

#[test]
fn a_value_that_is_not_a_whole_number_is_refused() {
    let invalid = [
        "x",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "0x10",
        "1_000",
        "1 000",
        "1,000",
        "10s",
        "10ms",
        "NaN",
        "inf",
        "true",
        "null",
        "\"20\"",
        "５",
        "½",
        "99999999999999999999999999999999999999999",
        "--5",
        "5-",
        "$(nproc)",
    ];
    for (variable, ..) in NUMBERS {
        for value in invalid {
            let problem = problem(&[(variable, value)]);
            assert!(problem.starts_with(&format!("{variable}={value}: is not a whole number")), "{problem}");
        }
    }
}
