//! What a user of the crate implements: the work on one record.

use std::hash::Hash;

use crate::deadline::Deadline;
use crate::outcome::Outcome;
use crate::record::Record;

/// Processes records, one per call. Calls run concurrently.
pub trait Handler {
    /// What is read from a record before any record of its batch is handled; `()` if nothing needs to be read.
    type Job: Job;

    /// The result of one call.
    type Outcome: Outcome;

    /// Processes a record.
    ///
    /// When only the reserve for the response is left of the invocation's time, the future is dropped at its current
    /// `await`, and the record is returned. A panic ends the work on this record only, which is returned.
    fn handle(
        &self,
        record: &Record,
        job: &Self::Job,
        deadline: Deadline,
    ) -> impl Future<Output = Self::Outcome>;

    /// The outcome of a record that could not be started or finished because no time was left, if the handler knows
    /// why: for example, the time passed while other records waited for a service that is down.
    ///
    /// The record then counts as [`Completion::Handled`] with this outcome. With `None`, the default, it is
    /// [`Completion::NotStarted`] or [`Completion::Abandoned`]. An acknowledged outcome counts as `None`,
    /// because the work on the record is not done.
    ///
    /// [`Completion::Handled`]: crate::Completion::Handled
    /// [`Completion::NotStarted`]: crate::Completion::NotStarted
    /// [`Completion::Abandoned`]: crate::Completion::Abandoned
    fn out_of_time(&self) -> Option<Self::Outcome> {
        None
    }
}

/// What is read from a record. Its key and its identity decide in which order the records of a batch are handled, and
/// which of them describe the same work.
///
/// All records of a batch are read before the first one is handled. If reading one panics, that record is returned
/// without being handled, and the others are read.
pub trait Job {
    /// Reads a record.
    fn read(record: &Record) -> Self;

    /// Records with equal keys are handled one after the other, in the order of the batch. `None`, the default, means
    /// that the record does not wait for others, except for those of its FIFO message group.
    fn key(&self) -> Option<&str> {
        None
    }

    /// Records with equal keys and equal identities describe the same work: it is done once, and all of them share
    /// its outcome. `None`, the default, means that no other record describes the same work.
    ///
    /// `Eq` and `Hash` of the identity must not panic: such a panic fails the invocation.
    fn identity(&self) -> Option<impl Eq + Hash> {
        None::<()>
    }
}

impl Job for () {
    fn read(_: &Record) -> Self {}
}
