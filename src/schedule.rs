//! The batch engine: runs the work of a batch in its order and within its limits (contract section 5).
//!
//! It knows nothing of SQS or of reservations. Work of the same lane runs one after the other, in the order
//! of the batch; so does work of the same group, in which nothing runs before what is tried again; all else
//! runs side by side, as far as there are permits. Nothing outlives the deadline, and a panic ends one piece of work.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use crate::outcome::Outcome;
use crate::retry::Deadline;

mod queue;

use queue::Queue;

/// Where one piece of work stands in its batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Work of the same lane runs one after the other.
    pub lane: Option<&'a str>,
    /// Work of the same group does too, and after the first that is not acknowledged the rest is returned.
    pub group: Option<&'a str>,
    /// What it does not do now is not tried again, so its group has nothing to wait for.
    pub is_last_try: bool,
    /// The place of the last piece of work before it in its lane that does the same: its outcome is shared.
    pub same_as: Option<usize>,
}

/// What a batch may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// How much runs at once, over all batches of the process.
    pub permits: &'a Semaphore,
    /// When the outcomes are due.
    pub deadline: Deadline,
    /// Work is not started with less time than this left.
    pub least_time: Duration,
}

/// Runs the work of a batch; `work(place)` does one piece. Returns the outcomes in the order of the batch,
/// and how many pieces were in flight at most.
///
/// `settled(place, outcome)` is told of each piece once, when its outcome is known. What is in flight when
/// the deadline is reached is dropped where it stands.
pub async fn run<F: Future<Output = Outcome>>(
    turns: &[Turn<'_>],
    limits: Limits<'_>,
    work: impl Fn(usize) -> F,
    settled: impl FnMut(usize, &Outcome),
) -> (Vec<Outcome>, usize) {
    let mut queue = Queue::new(turns, settled);
    let (mut in_flight, mut peak) = (FuturesUnordered::new(), 0);
    let mut deadline_reached = std::pin::pin!(limits.deadline.reached());
    loop {
        let left = limits.deadline.left();
        queue.settle_without_work(left.is_zero() || left < limits.least_time);
        if in_flight.is_empty() && queue.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            () = &mut deadline_reached => break,
            Some((place, outcome)) = in_flight.next() => queue.settle(place, outcome),
            Ok(permit) = limits.permits.acquire(), if !queue.is_empty() => {
                let Some(place) = queue.start() else { continue };
                let guarded = AssertUnwindSafe(work(place)).catch_unwind();
                in_flight.push(async move {
                    let _permit = permit;
                    (place, guarded.await.unwrap_or_else(|_| Outcome::panicked()))
                });
                peak = peak.max(in_flight.len());
            }
        }
    }
    drop(in_flight);
    (queue.finish(), peak)
}
