//! The records that were returned during an outage and can be recalled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::queue::Queue;
use crate::clock::ClockReading;

/// The largest number of records that are remembered. The oldest are forgotten first.
const MAX_RECORDS: usize = 10_000;

/// A record that waits for the end of an outage.
#[derive(Debug, Clone)]
pub(super) struct RecallableRecord {
    pub(super) queue: Arc<Queue>,
    pub(super) receipt_handle: String,
    /// Its FIFO message group. The records of a group are recalled together.
    pub(super) group: Option<String>,
    /// What is down.
    pub(super) cause: &'static str,
    /// When the record was returned.
    pub(super) returned: ClockReading,
    /// Its visibility time-out.
    pub(super) wait: Duration,
}

impl RecallableRecord {
    /// The part of the visibility time-out that is left.
    pub(super) fn left(&self, now: ClockReading) -> Duration {
        self.wait.saturating_sub(now.since(self.returned))
    }
}

/// The records that can be recalled, in the order in which they were returned.
#[derive(Debug, Default)]
pub(super) struct RecallableRecords(Mutex<VecDeque<RecallableRecord>>);

impl RecallableRecords {
    pub(super) fn add(&self, records: impl IntoIterator<Item = RecallableRecord>) {
        let mut all = self.lock();
        all.extend(records);
        // Records that a recall puts back are older than those that were added meanwhile.
        all.make_contiguous().sort_by_key(|record| record.returned.instant);
        let surplus = all.len().saturating_sub(MAX_RECORDS);
        all.drain(..surplus);
    }

    /// Takes the records that wait because of `cause`, and forgets those whose time-out is over.
    pub(super) fn take(&self, cause: &str, now: ClockReading) -> Vec<RecallableRecord> {
        let mut all = self.lock();
        all.retain(|record| !record.left(now).is_zero());
        let (taken, others) = all.drain(..).partition(|record| record.cause == cause);
        *all = others;
        Vec::from(taken)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RecallableRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
