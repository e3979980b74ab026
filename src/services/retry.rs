//! Short retries within an invocation (contract section 6).
//!
//! For longer waits, the record is returned to the queue, because a function is billed while it sleeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqs_batch::Deadline;
use tokio::time::sleep;
use tower::retry::budget::{Budget, TpsBudget};

use crate::call::{Classify, ErrorClass};

/// The longest wait before each retry. The actual wait is a random time between zero and this (full jitter).
const LONGEST_WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];
/// The window in which calls and retries are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// The retries that are always allowed, so that a process with few calls can retry at all.
const LEAST_RETRIES_PER_SECOND: u32 = 1;
/// The share of calls that may be retried in addition.
const RETRIED_SHARE: f32 = 0.2;

/// Retries calls within the budget of the process, so that an overloaded service does not get a multiple of its load.
/// Clones share the budget.
#[derive(Clone)]
pub struct Retry {
    budget: Arc<TpsBudget>,
}

/// The budget of the contract: 20 % of the calls, plus one retry per second on average.
impl Default for Retry {
    fn default() -> Self {
        Self::with_minimum(LEAST_RETRIES_PER_SECOND)
    }
}

impl Retry {
    /// A budget of 20 % of the calls and, in addition, this number of retries per second on average over 10 s.
    pub fn with_minimum(retries_per_second: u32) -> Self {
        Self { budget: Arc::new(TpsBudget::new(WINDOW, retries_per_second, RETRIED_SHARE)) }
    }

    /// Makes a call: `attempt` makes one attempt. It is retried at most twice while it fails with a transient error or
    /// finds the service unavailable. It is not retried if the deadline or the budget does not allow it, or if the
    /// service has requested a longer wait than the retry would make.
    ///
    /// # Errors
    ///
    /// The error of the last attempt.
    pub async fn run<T, E: Classify>(
        &self,
        deadline: Deadline,
        attempt: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        self.budget.deposit();
        for longest in LONGEST_WAITS {
            let error = match attempt().await {
                Err(error) => error,
                done => return done,
            };
            let wait = longest.mul_f64(fastrand::f64());
            match error.class() {
                ErrorClass::Transient { retry_after } | ErrorClass::Unavailable { retry_after }
                    if retry_after.is_none_or(|after| after <= wait)
                        && wait < deadline.left()
                        && self.budget.withdraw() =>
                {
                    sleep(wait).await;
                }
                _ => return Err(error),
            }
        }
        attempt().await
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").finish_non_exhaustive()
    }
}
