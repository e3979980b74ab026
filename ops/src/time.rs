//! Reads the times of SQS, and formats times and ages for the files and the table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time that SQS writes in milliseconds since 1970.
pub(crate) fn from_millis(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?))
}

/// RFC 3339, in UTC, with whole seconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The day, in UTC.
pub(crate) fn day(time: SystemTime) -> String {
    rfc3339(time).chars().take(10).collect()
}

/// The age in its two largest units, such as `3d 4h`.
pub(crate) fn short(age: Duration) -> String {
    let seconds = age.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        let ages = [59, 61, 3_600, 90_000, 86_400 * 13].map(|seconds| short(Duration::from_secs(seconds)));
        assert_eq!(ages, ["59s", "1m 1s", "1h 0m", "1d 1h", "13d 0h"]);
    }

    #[test]
    fn a_time_of_sqs_is_written_in_rfc_3339() {
        assert_eq!(from_millis("1763110800123").map(rfc3339).as_deref(), Some("2025-11-14T09:00:00Z"));
        assert_eq!(from_millis("soon"), None);
    }
}
