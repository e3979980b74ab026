//! Points in time of a process that may be frozen.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// See [`ClockReading::simulate_wall_clock`].
static SIMULATED: OnceLock<fn() -> SystemTime> = OnceLock::new();

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
        Self { instant: Instant::now(), time: wall_clock() }
    }

    /// Replaces the wall clock of this process. A simulation needs this, because its monotonic clock does not run with
    /// the real time. Only the first call has an effect.
    #[doc(hidden)]
    pub fn simulate_wall_clock(now: fn() -> SystemTime) {
        let _ = SIMULATED.set(now);
    }

    /// The time from `earlier` to this reading: the longer one of the times that the two clocks measured, at least
    /// zero.
    pub fn since(self, earlier: Self) -> Duration {
        let by_wall_clock = self.time.duration_since(earlier.time).unwrap_or_default();
        self.instant.saturating_duration_since(earlier.instant).max(by_wall_clock)
    }
}

/// Reads the wall clock.
pub(crate) fn wall_clock() -> SystemTime {
    SIMULATED.get().map_or_else(SystemTime::now, |now| now())
}
