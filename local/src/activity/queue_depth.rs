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
    /// Those of them that are invisible, because somebody has received them.
    pub(crate) dead_invisible: usize,
}

impl QueueDepth {
    /// Each pair has the number of visible messages, and the number of others: those of the queue, and those of the
    /// dead-letter queue.
    pub(super) fn new(
        (visible, not_visible): (usize, usize),
        (dead_visible, dead_invisible): (usize, usize),
        stats: Stats,
    ) -> Self {
        // The messages that are not visible are those in flight and those that wait for their visibility time-out.
        let in_flight = stats.in_flight;
        let waiting = not_visible.saturating_sub(in_flight);
        let dead = dead_visible + dead_invisible;
        Self { ready: visible, waiting, in_flight, dead, dead_invisible }
    }

    /// The number of messages in the queue itself.
    pub(super) fn unfinished(self) -> usize {
        self.ready + self.waiting + self.in_flight
    }
}
