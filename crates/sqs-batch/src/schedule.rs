//! Runs the work of a batch in its order and within its limits.
//!
//! Items with the same key run one after the other, in the order of the batch. So do items of the same group. After
//! a returned item that a later delivery may complete, the rest of its group does not run. All other items run
//! concurrently, as far as there are permits. No work continues after the deadline, and a panic ends one item only.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use crate::deadline::Deadline;
use crate::outcome::{Completion, Outcome};

mod dependencies;

use dependencies::Dependencies;
pub(crate) use dependencies::WorkItem;

/// The limits of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// One permit per item in progress, over all batches of the process.
    pub(crate) permits: &'a Semaphore,
    /// When all items must be completed.
    pub(crate) deadline: Deadline,
    /// If less time than this is left, no item is started.
    pub(crate) least_time: Duration,
}

/// Runs the work of a batch: `work(index)` processes one item. Returns the completions in the order of the batch, and
/// the largest number of items that were in progress at once.
///
/// `on_completed(index, completion)` is called once for each item. It may replace the completion.
pub(crate) async fn run<O: Outcome, W: Future<Output = Completion<O>>>(
    items: &[WorkItem<'_>],
    limits: Limits<'_>,
    work: impl Fn(usize) -> W,
    on_completed: impl FnMut(usize, Completion<O>) -> Completion<O>,
) -> (Vec<Completion<O>>, usize) {
    let mut dependencies = Dependencies::new(items, on_completed);
    let (mut in_progress, mut peak) = (FuturesUnordered::new(), 0);
    let mut deadline_reached = std::pin::pin!(limits.deadline.reached());
    loop {
        let left = limits.deadline.left();
        dependencies.complete_without_work(left.is_zero() || left < limits.least_time);
        if in_progress.is_empty() && !dependencies.has_ready_item() {
            break;
        }
        tokio::select! {
            biased;
            () = &mut deadline_reached => break,
            Some((index, completion)) = in_progress.next() => dependencies.complete(index, completion),
            Ok(permit) = limits.permits.acquire(), if dependencies.has_ready_item() => {
                let Some(index) = dependencies.start_next() else { continue };
                // An async block would contain the work twice: as it was captured, and while it is awaited.
                in_progress.push(AssertUnwindSafe(work(index)).catch_unwind().map(move |completion| {
                    drop(permit);
                    (index, completion.unwrap_or(Completion::Panicked))
                }));
                peak = peak.max(in_progress.len());
            }
        }
    }
    drop(in_progress);
    (dependencies.into_completions(), peak)
}
