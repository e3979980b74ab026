//! How long a returned record stays invisible.

use std::time::Duration;

use crate::config::Config;
use crate::outcome::{Deferral, Outcome};

/// SQS keeps a message invisible for 12 hours from its receive at most; a function runs up to 15 minutes of them.
const LONGEST: Duration = Duration::from_secs(12 * 3_600 - 15 * 60);

#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    base: Duration,
    longest: Duration,
    max_retries: u32,
}

impl Backoff {
    pub(super) fn new(config: &Config) -> Self {
        Self { base: config.backoff_base, longest: config.backoff_max, max_retries: config.max_retries }
    }

    /// Whole seconds. None for what is bound for the dead-letter queue, so that its alarm is not late; else
    /// the back-off, but at least what the service or its breaker asks for. `jitter`, from 0 to 1, adds up
    /// to a fifth.
    pub(super) fn visibility(&self, receive_count: u32, outcome: &Outcome, jitter: f64) -> i32 {
        let least = match outcome {
            Outcome::Failed { .. } | Outcome::InvalidPayload(_) => return 0,
            _ if receive_count >= self.max_retries => return 0,
            Outcome::Retried { retry_after, .. } => retry_after.unwrap_or_default(),
            Outcome::Deferred(Deferral::BreakerOpen(open)) => open.left,
            _ => Duration::ZERO,
        };
        let seconds = self.after(receive_count).max(least).as_secs_f64().ceil();
        (seconds * (1.0 + jitter / 5.0)).round().min(LONGEST.as_secs_f64()) as i32
    }

    /// `BACKOFF_BASE_MS` × 2^(n−1), n the receive count, up to `BACKOFF_MAX_MS`.
    fn after(&self, receive_count: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(receive_count.saturating_sub(1))).min(self.longest)
    }
}
