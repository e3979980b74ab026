//! Points in time of a process that may be frozen.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time, read from both clocks.
///
/// Lambda freezes an execution environment between invocations. The monotonic clock may stop meanwhile, and the wall
/// clock may be set at any time. A duration is therefore measured by both clocks, and the longer result is used.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// Reading of the monotonic clock.
    pub instant: Instant,
    /// Reading of the wall clock.
    pub time: SystemTime,
}

impl ClockReading {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    /// The time from `earlier` to this reading: the longer one of the times that the two clocks measured, at least
    /// zero.
    pub fn since(self, earlier: Self) -> Duration {
        let by_wall_clock = self.time.duration_since(earlier.time).unwrap_or_default();
        self.instant.saturating_duration_since(earlier.instant).max(by_wall_clock)
    }
}
