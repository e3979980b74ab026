//! How the work on a record ended.

use std::time::Duration;

/// The result of a [`Handler`](crate::Handler) for one record.
///
/// It is cloned for each later record of the batch that describes the same work. `Clone` must not panic: such a panic
/// fails the invocation.
pub trait Outcome: Clone {
    /// Whether the record is done, so that the queue deletes it. Otherwise it is listed in `batchItemFailures`.
    fn is_acknowledged(&self) -> bool;

    /// When the queue is to deliver the record again if it is not acknowledged.
    fn redelivery(&self) -> Redelivery {
        Redelivery::BACKOFF
    }
}

/// `Ok` is acknowledged; `Err` is delivered again after the back-off.
impl<E: Clone> Outcome for Result<(), E> {
    fn is_acknowledged(&self) -> bool {
        self.is_ok()
    }
}

/// When a returned record is to be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// At once. This is for a record that no retry can help: its remaining receives follow without a wait, and
    /// then it reaches the dead-letter queue.
    Immediate,
    /// After the back-off of its receive count.
    AfterBackoff {
        /// The shortest time to wait, for example because a service requested it.
        at_least: Duration,
    },
    /// After the outage back-off of its receive count. This is for a record whose work depends on something that is
    /// down: an earlier delivery would use up a receive and could not succeed.
    AfterOutage {
        /// What is down. The records that wait for it can be recalled when it has recovered
        /// (`BatchProcessor::recall`, feature `visibility`).
        cause: &'static str,
        /// The shortest time to wait, for example because a service requested it.
        at_least: Duration,
    },
}

impl Redelivery {
    /// After the back-off, without a shortest time.
    pub const BACKOFF: Self = Self::AfterBackoff { at_least: Duration::ZERO };
}

/// Whether a returned record blocks its FIFO message group, so that the records after it are returned too. It does so
/// if a later delivery may complete it: a retry can help the record, and this was not its last receive.
pub(crate) fn blocks_group(is_last_receive: bool, redelivery: Redelivery) -> bool {
    !is_last_receive && redelivery != Redelivery::Immediate
}

/// How a record was completed: with an outcome of the handler, or by a decision of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion<O> {
    /// The handler returned this outcome.
    Handled(O),
    /// An earlier record of the batch described the same work, and the handler returned this outcome for it.
    Shared(O),
    /// The record was not started: too little time was left.
    NotStarted,
    /// The record was in progress when only the reserve for the response was left.
    Abandoned,
    /// The record was not started: an earlier record of its FIFO message group was returned, and a later delivery
    /// may complete it.
    GroupBlocked,
    /// Code that was running for this record, or for an earlier record that describes the same work, panicked.
    Panicked,
}

impl<O: Outcome> Completion<O> {
    /// The outcome of the handler, if it returned one.
    pub fn outcome(&self) -> Option<&O> {
        match self {
            Self::Handled(outcome) | Self::Shared(outcome) => Some(outcome),
            Self::NotStarted | Self::Abandoned | Self::GroupBlocked | Self::Panicked => None,
        }
    }

    /// Whether the queue deletes the message. A record without an outcome of the handler is returned.
    pub fn is_acknowledged(&self) -> bool {
        self.outcome().is_some_and(O::is_acknowledged)
    }

    /// When the queue is to deliver the record again if it is not acknowledged.
    pub fn redelivery(&self) -> Redelivery {
        self.outcome().map_or(Redelivery::BACKOFF, O::redelivery)
    }
}
