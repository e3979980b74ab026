//! The number of messages in the queues.

use reservation_worker_local::event_source::Stats;
use serde::Serialize;

/// The number of messages in the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct QueueDepth {
    /// Those that can be received now.
    pub(crate) ready: usize,
    /// Those that wait for the end of their visibility time-out.
    pub(crate) waiting: usize,
    /// Those that are in an invocation.
    pub(crate) in_flight: usize,
    /// Those in the dead-letter queue.
    pub(crate) dead: usize,
}

impl QueueDepth {
    /// `visible` and `not_visible` are numbers of messages in the queue, and `dead` is the number in the dead-letter queue.
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
