//! Processes an SQS event and returns the batch response.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::LambdaEvent;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

#[cfg(feature = "visibility")]
use crate::clock::ClockReading;
use crate::deadline::Deadline;
use crate::event::{self, NotSqs};
use crate::handler::{Handler, Job};
use crate::observer::{BatchBegun, BatchFinished, Observer, RecordFinished};
use crate::outcome::{Completion, Outcome};
use crate::record::Record;
use crate::schedule::{self, Limits, WorkItem};
#[cfg(feature = "visibility")]
use crate::visibility::{Recalled, Visibility};

/// A shorter reserve is not enough to write the log lines and the response of a large batch.
const MIN_RESERVE: Duration = Duration::from_millis(100);

/// The limits of a [`BatchProcessor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The largest number of records in progress at once, over all batches of the process. It must not be 0: then no
    /// record would ever be started. Default: 20.
    pub concurrency: usize,
    /// The receives after which the queue moves a message to its dead-letter queue (`maxReceiveCount`). Default: 5.
    pub max_receives: u32,
    /// The part of the invocation's time that is reserved for the visibility time-outs and the response. A value below
    /// 100 ms counts as 100 ms. Default: 1 s.
    pub deadline_reserve: Duration,
    /// The time that the work on one record needs. No record is started when less time is left, with one exception:
    /// half of the time of the batch is always enough to start a record. Without this exception, a short time-out of
    /// the function would prevent all work. Default: 1 s.
    pub time_per_record: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { concurrency: 20, max_receives: 5, deadline_reserve: second, time_per_record: second }
    }
}

/// Processes batches with a [`Handler`].
#[derive(Debug)]
pub struct BatchProcessor<H, O = ()> {
    handler: H,
    observer: O,
    #[cfg(feature = "visibility")]
    visibility: Option<Visibility>,
    permits: Semaphore,
    settings: Settings,
}

/// A record whose work has begun.
struct InProgress<S> {
    /// What the observer made for the record; `None` if it panicked.
    scope: Option<S>,
    began: Instant,
}

/// Contains a record while it is in progress. It is emptied afterwards, so that a large batch does not keep the scopes of
/// all its records in memory.
type Slot<S> = Mutex<Option<Arc<InProgress<S>>>>;

impl<H: Handler> BatchProcessor<H> {
    /// Processes batches within the limits of `settings`, without an observer.
    pub fn new(handler: H, settings: Settings) -> Self {
        Self {
            handler,
            observer: (),
            #[cfg(feature = "visibility")]
            visibility: None,
            permits: Semaphore::new(settings.concurrency),
            settings,
        }
    }
}

impl<H: Handler, O: Observer<H>> BatchProcessor<H, O> {
    /// Replaces the observer.
    pub fn with_observer<P: Observer<H>>(self, observer: P) -> BatchProcessor<H, P> {
        BatchProcessor {
            handler: self.handler,
            observer,
            #[cfg(feature = "visibility")]
            visibility: self.visibility,
            permits: self.permits,
            settings: self.settings,
        }
    }

    /// Changes the visibility time-outs of the records that are returned.
    #[cfg(feature = "visibility")]
    pub fn with_visibility(self, visibility: Visibility) -> Self {
        Self { visibility: Some(visibility), ..self }
    }

    /// The handler that was passed to [`new`](BatchProcessor::new).
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Makes records visible again that this process returned with [`Redelivery::AfterOutage`] and this `cause`, and
    /// that still wait.
    ///
    /// Call this after a response, when the cause has recovered. It takes at most `time`. If that is not enough, the
    /// next call continues with the remaining records. The process remembers at most 10,000 records and forgets the
    /// oldest ones first. The records become visible at random times within 1 s per 10 records and at most 30 s, so
    /// that they do not overload the recovered service.
    ///
    /// [`Redelivery::AfterOutage`]: crate::Redelivery::AfterOutage
    #[cfg(feature = "visibility")]
    pub async fn recall(&self, cause: &str, time: Duration) -> Recalled {
        match &self.visibility {
            Some(visibility) => visibility.recall(cause, time, ClockReading::now()).await,
            None => Recalled::default(),
        }
    }

    /// Processes a batch. The response lists each message that is to be delivered again, once and in the order of the
    /// batch.
    ///
    /// # Errors
    ///
    /// [`NotSqs`], before any work is done, when the event is not a list of SQS records with ids.
    pub async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<SqsBatchResponse, NotSqs> {
        let LambdaEvent { payload, context, .. } = event;
        let invocation_end = Deadline::at(context.deadline());
        let records = event::records(&payload).inspect_err(|error| self.observer.event_rejected(error))?;
        let reserve = self.settings.deadline_reserve.max(MIN_RESERVE);
        let deadline = invocation_end.earlier(reserve);
        self.observer.batch_begun(BatchBegun { records: &records, time: deadline.left(), reserve });
        let (completions, peak_in_progress) = self.process(&records, deadline).await;
        #[cfg(feature = "visibility")]
        let visibility_failures = match &self.visibility {
            // Half of the reserve is for these calls. The other half is for posting the response.
            Some(visibility) => {
                let deadline = invocation_end.earlier(reserve / 2);
                visibility.apply_backoff(&records, &completions, self.settings.max_receives, deadline).await
            }
            None => Vec::new(),
        };
        self.observer.batch_finished(BatchFinished {
            records: &records,
            peak_in_progress,
            #[cfg(feature = "visibility")]
            visibility_failures: &visibility_failures,
        });
        Ok(response(&records, &completions))
    }

    async fn process(&self, records: &[Record], deadline: Deadline) -> (Vec<Completion<H::Outcome>>, usize) {
        let jobs: Vec<_> = records.iter().map(|record| unless_panicked(|| read::<H::Job>(record))).collect();
        let items = self.items(records, &jobs);
        let limits = Limits {
            permits: &self.permits,
            deadline,
            least_time: self.settings.time_per_record.min(deadline.left() / 2),
        };
        let slots: Vec<Slot<O::Scope>> = records.iter().map(|_| Slot::default()).collect();
        let slot = |index: usize| slots[index].lock().unwrap_or_else(PoisonError::into_inner);
        let get_or_begin = |index: usize| {
            let begin = || {
                let record_begun = || self.observer.record_begun(&records[index], jobs[index].as_ref());
                Arc::new(InProgress { scope: unless_panicked(record_begun), began: Instant::now() })
            };
            slot(index).get_or_insert_with(begin).clone()
        };
        let (get_or_begin, jobs) = (&get_or_begin, &jobs);
        let work = |index: usize| async move {
            let record = get_or_begin(index);
            let (Some(job), Some(scope)) = (&jobs[index], &record.scope) else {
                return Completion::Panicked;
            };
            let handling = self.handler.handle(&records[index], job, deadline);
            Completion::Handled(evaluated(self.observer.in_scope(scope, handling).await))
        };
        let on_completed = |index: usize, completion: Completion<H::Outcome>| {
            let completion = match completion {
                Completion::NotStarted | Completion::Abandoned => {
                    let outcome = unless_panicked(|| self.handler.out_of_time().map(evaluated)).flatten();
                    // The work is not done, so the record must not be acknowledged.
                    let outcome = outcome.filter(|outcome| !outcome.is_acknowledged());
                    outcome.map_or(completion, Completion::Handled)
                }
                other => other,
            };
            // A record that was not started has no scope yet, and therefore no duration. Its scope is made afterwards.
            let duration = slot(index).as_ref().map(|record| record.began.elapsed());
            let scope = &get_or_begin(index).scope;
            *slot(index) = None;
            let finished = RecordFinished {
                record: &records[index],
                job: jobs[index].as_ref(),
                completion: &completion,
                duration,
                max_receives: self.settings.max_receives,
            };
            match unless_panicked(|| self.observer.record_finished(finished, scope.as_ref())) {
                Some(()) => completion,
                None => Completion::Panicked,
            }
        };
        schedule::run(&items, limits, work, on_completed).await
    }

    fn items<'a>(&self, records: &'a [Record], jobs: &'a [Option<H::Job>]) -> Vec<WorkItem<'a>> {
        let mut last = HashMap::new();
        let items = records.iter().zip(jobs).enumerate().map(|(index, (record, job))| {
            let key = job.as_ref().and_then(H::Job::key);
            let identity = job.as_ref().and_then(H::Job::identity);
            WorkItem {
                key,
                group: record.fifo_group.as_deref(),
                is_last_receive: record.is_last_receive(self.settings.max_receives),
                same_as: key.zip(identity).and_then(|work| last.insert(work, index)),
            }
        });
        items.collect()
    }
}

/// Reads a job, and computes its key and its identity once, so that a panic in them counts as a panic while reading.
fn read<J: Job>(record: &Record) -> J {
    let job = J::read(record);
    let _ = (job.key(), job.identity());
    job
}

/// Calls the functions of an outcome once, so that a panic in them counts as a panic of the handler.
fn evaluated<O: Outcome>(outcome: O) -> O {
    if !outcome.is_acknowledged() {
        let _ = outcome.redelivery();
    }
    outcome
}

/// Runs code for one record. Returns its result, or `None` if it panicked. A panic ends the work on that record only.
fn unless_panicked<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}

fn response<O: Outcome>(records: &[Record], completions: &[Completion<O>]) -> SqsBatchResponse {
    let mut listed = HashSet::new();
    let returned = records.iter().zip(completions).filter(|(_, completion)| !completion.is_acknowledged());
    let mut response = SqsBatchResponse::default();
    response.set_failures(
        returned
            .map(|(record, _)| record.message_id.as_str())
            .filter(|message_id| listed.insert(*message_id)),
    );
    response
}
