//! The number of messages in the queues.

use reservation_worker_local::event_source::Stats;
use serde::Serialize;

/// The number of messages in the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct QueueDepth {
    /// Can be received now.
    pub(crate) ready: usize,
    /// Wait for the end of their visibility time-out.
    pub(crate) waiting: usize,
    /// Are in an invocation.
    pub(crate) in_flight: usize,
    /// Are in the dead-letter queue.
    pub(crate) dead: usize,
}

impl QueueDepth {
    /// The numbers of messages that are visible and not visible in the queue, and of those in the dead-letter queue.
    pub(super) fn new(visible: usize, not_visible: usize, dead: usize, stats: Stats) -> Self {
        // The messages that are not visible are those in flight and those that wait for their visibility time-out.
        let in_flight = stats.in_flight;
        Self { ready: visible, waiting: not_visible.saturating_sub(in_flight), in_flight, dead }
    }

    /// The number of messages in the queue itself.
    pub(super) fn unfinished(self) -> usize {
        self.ready + self.waiting + self.in_flight
    }
}
