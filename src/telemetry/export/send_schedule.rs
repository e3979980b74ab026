//! When metrics are sent: not after every invocation, because each call costs money and billed time.

use std::time::Duration;

use sqs_batch::ClockReading;

/// The interval between two calls. The data of the last interval is sent when the environment is shut down.
const INTERVAL: Duration = Duration::from_secs(10);
/// The interval if something was recorded that an alarm depends on.
const URGENT_INTERVAL: Duration = Duration::from_secs(1);
/// The interval doubles with each further failure after the first one in a row, up to this.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The results of the last calls, which decide when the next call is due.
#[derive(Debug, Default)]
pub(super) struct SendSchedule {
    /// When metrics were last sent, successfully or not.
    last: Option<ClockReading>,
    /// The number of failures in a row.
    failures: u32,
    has_succeeded: bool,
}

impl SendSchedule {
    pub(super) fn is_due(&self, now: ClockReading, is_urgent: bool) -> bool {
        let interval = match self.failures {
            0 if is_urgent => URGENT_INTERVAL,
            failures => INTERVAL.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))),
        };
        self.last.is_none_or(|last| now.since(last) >= interval.min(MAX_INTERVAL))
    }

    /// Whether the next call gets the time limit `LONG` and not `USUAL`. It does until the first success, because a
    /// client and a connection must be made. It also does after the first failure in a row, because the usual limit may
    /// have been too short. Calls must not be cut off again and again: CloudWatch may have accepted the data of a call
    /// that was cut off, and counts it again with the next call.
    pub(super) fn uses_long_limit(&self) -> bool {
        !self.has_succeeded || self.failures == 1
    }

    pub(super) fn succeeded(&mut self, now: ClockReading) {
        *self = Self { last: Some(now), failures: 0, has_succeeded: true };
    }

    /// Returns whether this failure is the first in a row.
    pub(super) fn failed(&mut self, now: ClockReading) -> bool {
        (self.last, self.failures) = (Some(now), self.failures.saturating_add(1));
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: ClockReading, monotonic: u64, wall: i64) -> ClockReading {
        let time = match wall.try_into() {
            Ok(wall) => start.time + Duration::from_secs(wall),
            Err(_) => start.time - Duration::from_secs(wall.unsigned_abs()),
        };
        ClockReading { instant: start.instant + Duration::from_secs(monotonic), time }
    }

    #[test]
    fn sending_is_due_at_first_and_then_after_the_interval_by_either_clock() {
        let start = ClockReading::now();
        let mut schedule = SendSchedule::default();
        assert!(schedule.is_due(start, false) && schedule.uses_long_limit());
        schedule.succeeded(start);
        assert!(!schedule.uses_long_limit());
        for (monotonic, wall, due) in
            [(9, 9, false), (10, 0, true), (10, -3_600, true), (0, 10, true), (9, -5, false)]
        {
            assert_eq!(schedule.is_due(after(start, monotonic, wall), false), due, "{monotonic} s, {wall} s");
        }
        assert!(!schedule.is_due(start, true));
        assert!(schedule.is_due(after(start, 1, 1), true));
    }

    #[test]
    fn after_failures_the_interval_doubles_up_to_a_minute_and_urgency_is_ignored() {
        let start = ClockReading::now();
        let mut schedule = SendSchedule::default();
        for (failures, seconds) in [10, 20, 40, 60, 60].into_iter().enumerate() {
            assert_eq!(schedule.failed(start), failures == 0, "only the first is reported");
            assert!(!schedule.is_due(after(start, seconds - 1, 0), true));
            assert!(schedule.is_due(after(start, seconds, 0), false));
        }
        assert!(schedule.uses_long_limit(), "it has never succeeded");
        schedule.succeeded(start);
        let long = [(); 3].map(|()| (schedule.failed(start), schedule.uses_long_limit()).1);
        assert_eq!(long, [true, false, false], "only the call after the first failure");
        schedule.succeeded(start);
        assert!(schedule.is_due(after(start, 10, 0), false));
        assert!(schedule.failed(start), "the first failure after a success");
    }
}
