//! When a returned record comes again: the queue does the waiting, the function does not sleep while it is
//! billed (contract section 6, "in the queue").
//!
//! Best effort: whatever goes wrong here, the queue's own visibility time-out applies and the response is
//! the same.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::outcome::{Deferral, Outcome};
use crate::record::Record;
use crate::retry::Deadline;

mod queue;

pub use queue::connect;
use queue::Queue;

/// SQS takes so many entries a call.
const ENTRIES: usize = 10;
/// Calls side by side, for the batches of thousands that a wide window can make.
const CALLS: usize = 10;
/// SQS keeps a message invisible for 12 hours at most.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// Asks the queue to keep returned records for a while.
#[derive(Debug)]
pub struct Visibility {
    backoff: Backoff,
    queue_url: Option<String>,
    client: OnceCell<Client>,
    connect: queue::Connect,
}

/// How long a record stays invisible after which receive.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    max_receives: u32,
}

impl Backoff {
    /// `BACKOFF_BASE_MS` × 2^(n−1) up to `BACKOFF_MAX_MS`, n the receive count.
    fn after(&self, receive_count: u32) -> Duration {
        let doublings = 2_u32.saturating_pow(receive_count.saturating_sub(1));
        self.base.saturating_mul(doublings).min(self.max)
    }

    /// The time for one record: none for what is bound for the dead-letter queue, so that the alarm is not
    /// late; else the back-off, and never less than the service or its breaker asked for. `jitter`, from 0
    /// to 1, adds up to a fifth.
    fn of(&self, receive_count: u32, outcome: &Outcome, jitter: f64) -> Duration {
        let at_least = match outcome {
            Outcome::Failed(_) | Outcome::InvalidPayload(_) => return Duration::ZERO,
            _ if receive_count >= self.max_receives => return Duration::ZERO,
            Outcome::Retried { retry_after, .. } => retry_after.unwrap_or_default(),
            Outcome::Deferred(Deferral::BreakerOpen(open)) => open.left,
            _ => Duration::ZERO,
        };
        let whole = self.after(receive_count).max(at_least).as_secs_f64().ceil();
        Duration::from_secs_f64((whole * (1.0 + jitter / 5.0)).ceil()).min(LONGEST)
    }
}
