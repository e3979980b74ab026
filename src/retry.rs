//! Time: the invocation's deadline, and the short retries within it (contract section 6).
//!
//! Long waits belong to the queue: the function does not sleep while it is billed.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use crate::fault::{Classify, Fault};

/// A call is tried three times at most; the waits between are drawn from zero to these, in full jitter.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];

/// When work must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The end of time, for an emulator that does not know deadlines.
    pub const NONE: Self = Self(None);

    /// From the time at which Lambda will end the invocation. The clock on the wall is read here and no more:
    /// it may be set meanwhile.
    ///
    /// A time in the past is not a deadline: `cargo lambda watch` sends a constant in 1970.
    pub fn at(ends: SystemTime) -> Self {
        ends.duration_since(SystemTime::now()).map_or(Self::NONE, Self::within)
    }

    /// Earlier by so much, but not before now.
    pub fn earlier(self, reserve: Duration) -> Self {
        if self.0.is_none() { Self::NONE } else { Self::within(self.left().saturating_sub(reserve)) }
    }

    /// From now on, for so long.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// The time left; as good as endless without a deadline.
    pub fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Completes when the deadline is reached, which is never without one.
    pub async fn reached(self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Makes a call, and makes it again while it fails transiently, time allows and the service has not
/// asked for a longer wait: then the queue waits, not we.
///
/// # Errors
///
/// The last try's error.
pub async fn retry<T, E: Classify>(deadline: Deadline, call: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    for longest in WAITS {
        let error = match call().await {
            Err(error) => error,
            done => return done,
        };
        let wait = longest.mul_f64(fastrand::f64());
        match error.fault() {
            Fault::Transient { retry_after }
                if retry_after.is_none_or(|after| after <= wait) && wait < deadline.left() =>
            {
                sleep(wait).await;
            }
            _ => return Err(error),
        }
    }
    call().await
}
