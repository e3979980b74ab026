//! Short retries within an invocation (contract section 6).
//!
//! For longer waits, the record is returned to the queue, because a function is billed while it sleeps.

use std::time::Duration;

use sqs_batch::Deadline;
use tokio::time::sleep;

use crate::call::{Classify, ErrorClass};

/// The longest wait before each retry. The actual wait is drawn at random between zero and this (full jitter).
const LONGEST_WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];

/// Makes a call, and retries it at most twice. It is retried only if its error is transient, the wait ends before the
/// deadline, and the service has not requested a longer wait.
///
/// # Errors
///
/// The error of the last attempt.
pub async fn retry<T, E: Classify>(deadline: Deadline, call: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    for longest in LONGEST_WAITS {
        let error = match call().await {
            Err(error) => error,
            done => return done,
        };
        let wait = longest.mul_f64(fastrand::f64());
        match error.class() {
            ErrorClass::Transient { retry_after }
                if retry_after.is_none_or(|after| after <= wait) && wait < deadline.left() =>
            {
                sleep(wait).await;
            }
            _ => return Err(error),
        }
    }
    call().await
}
