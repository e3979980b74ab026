//! The time by which the work of an invocation must have ended.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::wall_clock;

/// A point in time at which work must have ended, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline, for an emulator that does not know one.
    pub const NONE: Self = Self(None);

    /// The time at which Lambda ends the invocation. The wall clock is read only here, because it can be
    /// adjusted during the invocation.
    ///
    /// A time in the past means that there is no deadline: `cargo lambda watch` sends a constant in 1970.
    pub fn at(end: SystemTime) -> Self {
        end.duration_since(wall_clock()).map_or(Self::NONE, Self::within)
    }

    /// The deadline that is `reserve` before this one, but not before now.
    pub fn earlier(self, reserve: Duration) -> Self {
        if self.0.is_none() { Self::NONE } else { Self::within(self.left().saturating_sub(reserve)) }
    }

    /// The deadline that is `time` from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// The time until the deadline; [`Duration::MAX`] without a deadline.
    pub fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Completes when the deadline is reached; never without one.
    pub async fn reached(self) {
        match self.0 {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}
