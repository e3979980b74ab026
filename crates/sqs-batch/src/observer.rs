//! What the engine reports about a batch, for logs, metrics and traces.

use std::time::Duration;

use crate::event::NotSqs;
use crate::handler::Handler;
use crate::outcome::Completion;
use crate::record::Record;

/// Observes the batches of a [`BatchProcessor`](crate::BatchProcessor), for example to log, to count and to trace.
///
/// [`record_begun`](Self::record_begun) and [`record_finished`](Self::record_finished) are called exactly once for
/// each record, whatever happens to it. A panic in a method for one record returns that record, with one exception: if
/// `record_begun` panics for a record that shares the outcome of an earlier one ([`Completion::Shared`]), the shared
/// outcome still applies. If it is acknowledged, the work is done, so acknowledging the record loses nothing.
pub trait Observer<H: Handler> {
    /// What the observer stores for a record while the record is processed, such as a span.
    type Scope;

    /// A batch was received.
    fn batch_begun(&self, batch: BatchBegun<'_>) {
        let _ = batch;
    }

    /// A record is about to be handled, or to be completed without being handled. `job` is `None` if reading it
    /// panicked.
    fn record_begun(&self, record: &Record, job: Option<&H::Job>) -> Self::Scope;

    /// Wraps the handler's work on a record, for example in a span. The default returns `work` unchanged.
    fn in_scope<W: Future>(&self, scope: &Self::Scope, work: W) -> impl Future<Output = W::Output> {
        let _ = scope;
        work
    }

    /// A record was completed. `scope` is `None` if [`record_begun`](Self::record_begun) panicked. Afterwards it is dropped.
    fn record_finished(&self, record: RecordFinished<'_, H>, scope: Option<&Self::Scope>) {
        let _ = (record, scope);
    }

    /// All records of a batch were completed, and the response is about to be returned.
    fn batch_finished(&self, batch: BatchFinished<'_>) {
        let _ = batch;
    }

    /// The payload of an invocation was not an SQS event, and the invocation fails.
    fn event_rejected(&self, error: &NotSqs) {
        let _ = error;
    }
}

/// Observes nothing.
impl<H: Handler> Observer<H> for () {
    type Scope = ();

    fn record_begun(&self, _: &Record, _: Option<&H::Job>) {}
}

/// A batch that was received.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchBegun<'a> {
    /// Its records, in order.
    pub records: &'a [Record],
    /// The time for its records: the time until the end of the invocation, less the reserve. [`Duration::MAX`] without
    /// a deadline. If it is zero, no record is started.
    pub time: Duration,
    /// The part of the invocation's time that is reserved for the visibility time-outs and the response.
    pub reserve: Duration,
}

/// A record that was completed.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordFinished<'a, H: Handler> {
    /// The record.
    pub record: &'a Record,
    /// What was read from it; `None` if reading it panicked.
    pub job: Option<&'a H::Job>,
    /// How it was completed.
    pub completion: &'a Completion<H::Outcome>,
    /// The time from the start of its work to its completion; `None` if it was not started.
    pub duration: Option<Duration>,
    /// The setting [`max_receives`](crate::Settings::max_receives).
    pub max_receives: u32,
}

/// A batch whose records were all completed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchFinished<'a> {
    /// Its records, in order.
    pub records: &'a [Record],
    /// The largest number of its records that were in progress at once.
    pub peak_in_progress: usize,
    /// The visibility time-outs that could not be changed.
    #[cfg(feature = "visibility")]
    pub visibility_failures: &'a [crate::visibility::Failure],
}
