//! How long a returned record stays invisible.

use std::time::Duration;

use crate::outcome::Redelivery;

/// SQS keeps a message invisible for at most 12 hours after its receive, and the function may already have run for 15
/// minutes of that time.
const LONGEST: Duration = Duration::from_secs(12 * 3_600 - 15 * 60);

/// Exponential back-off by the receive count of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The visibility time-out after the first receive. It doubles with each receive.
    pub base: Duration,
    /// The longest time-out before the jitter is added.
    pub max: Duration,
}

/// 1 s, doubling up to 15 minutes.
impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(900) }
    }
}

impl Backoff {
    /// The visibility time-out of a returned record in whole seconds.
    ///
    /// It is zero for a record that the queue moves to its dead-letter queue next: one that no retry can help, or one
    /// that was received `max_receives` times. The dead-letter queue then gets it without delay. `jitter`, from 0 to
    /// 1, adds up to 20 %. A wait that a service requested (`at_least`) applies even if it is longer than
    /// [`max`](Self::max). The result is at most 11 h 45 min.
    pub fn visibility_timeout(
        &self,
        receive_count: u32,
        max_receives: u32,
        redelivery: Redelivery,
        jitter: f64,
    ) -> i32 {
        let at_least = match redelivery {
            Redelivery::Immediate => return 0,
            Redelivery::AfterBackoff { .. } if receive_count >= max_receives => return 0,
            Redelivery::AfterBackoff { at_least } => at_least,
        };
        let seconds = self.after(receive_count).max(at_least).as_secs_f64().ceil();
        (seconds * (1.0 + jitter / 5.0)).round().min(LONGEST.as_secs_f64()) as i32
    }

    fn after(&self, receive_count: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(receive_count.saturating_sub(1))).min(self.max)
    }
}
