//! Visibility time-outs of returned records (feature `visibility`).
//!
//! Records wait in the queue, because a function is billed while it sleeps. Changing a time-out is best effort: if
//! the change fails, the queue's own time-out applies, the failure is reported to the observer, and the response is
//! unchanged.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchError;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;

use crate::backoff::{Backoff, Jitter};
use crate::clock::ClockReading;
use crate::deadline::Deadline;
use crate::outcome::{Completion, Outcome, Redelivery, blocks_group};
use crate::record::Record;

mod queue;
mod recallable;

use queue::Queue;
use recallable::{RecallableRecord, RecallableRecords};

/// `ChangeMessageVisibilityBatch` takes at most this many entries.
const ENTRIES_PER_CALL: usize = 10;
/// The largest number of concurrent calls. A batch can have thousands of records.
const CONCURRENT_CALLS: usize = 10;
/// The longest wait for the replies of the queue.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Recalled records become visible over a time that grows with their number: 10 per second and process.
const RECALLED_PER_SECOND: f64 = 10.0;
/// The longest time over which recalled records become visible.
const MAX_SPREAD: Duration = Duration::from_secs(30);

type Connect = Box<dyn Fn(Option<Region>) -> BoxFuture<'static, Client> + Send + Sync>;

/// Changes the visibility time-outs of returned records.
pub struct Visibility {
    backoff: Backoff,
    queue_url: Option<String>,
    connect: Connect,
    client: OnceCell<Client>,
    recallable: RecallableRecords,
}

/// The result of a recall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recalled {
    /// The number of records for which the queue accepted the request.
    pub accepted: usize,
    /// The number of records whose request was not answered in time. The next recall requests them again.
    pub unanswered: usize,
}

/// A part of a batch whose visibility time-outs could not be changed.
#[derive(Debug)]
pub struct Failure {
    /// The number of messages.
    pub messages: usize,
    /// Why they could not be changed.
    pub reason: FailureReason,
}

/// Why visibility time-outs could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FailureReason {
    /// Neither the records nor the settings name the queue.
    #[error("the queue is unknown: no URL is set, and the records have no ARN of a queue")]
    UnknownQueue,
    /// The queue did not reply in time.
    #[error("no reply in time")]
    NoReply,
    /// The queue refused entries of a call. This is the code of the first one.
    #[error("{0}")]
    Refused(String),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] Box<SdkError<ChangeMessageVisibilityBatchError>>),
}

impl Visibility {
    /// Uses the time-outs of `backoff`. `connect` makes the SQS client when the first record is returned. Its argument
    /// is the region of the queue; `None` if the region is not known.
    pub fn new<F>(backoff: Backoff, connect: impl Fn(Option<Region>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Client> + Send + 'static,
    {
        let connect: Connect = Box::new(move |region| Box::pin(connect(region)));
        Self {
            backoff,
            queue_url: None,
            connect,
            client: OnceCell::new(),
            recallable: RecallableRecords::default(),
        }
    }

    /// Uses this URL for the queue. `None`, the default, derives the URL from the ARN of the records.
    pub fn with_queue_url(self, queue_url: Option<String>) -> Self {
        Self { queue_url, ..self }
    }

    /// Gives each returned record its visibility time-out, and stops at the deadline. Returns what could not be
    /// changed.
    pub(crate) async fn apply_backoff<O: Outcome>(
        &self,
        records: &[Record],
        completions: &[Completion<O>],
        max_receives: u32,
        deadline: Deadline,
    ) -> Vec<Failure> {
        let returned = self.returned(records, completions, max_receives);
        let Some(first) = records.first().filter(|_| !returned.is_empty()) else { return Vec::new() };
        let messages = returned.len();
        let Some(queue) = Queue::of(self.queue_url.as_deref(), first.queue_arn.as_deref()) else {
            return vec![Failure { messages, reason: FailureReason::UnknownQueue }];
        };
        let queue = Arc::new(queue);
        self.recallable.add(returned.iter().filter_map(|record| record.recallable(&queue)));
        let entries = returned.iter().enumerate();
        let entries = entries.filter_map(|(id, record)| entry(id, record.receipt_handle, record.seconds));
        let time = deadline.left().min(MAX_WAIT);
        let changed = tokio::time::timeout(time, self.change(&queue, entries.collect())).await;
        changed.unwrap_or_else(|_| vec![Failure { messages, reason: FailureReason::NoReply }])
    }

    /// Makes records visible again that were returned because of `cause` and still wait. The records of calls that are
    /// not answered in time are remembered for the next recall. A receipt handle that is no longer valid does no harm.
    pub(crate) async fn recall(&self, cause: &str, time: Duration, now: ClockReading) -> Recalled {
        let deadline = Deadline::within(time);
        let waiting = self.recallable.take(cause, now);
        let number = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        let spread = MAX_SPREAD.as_secs_f64().min(f64::from(number) / RECALLED_PER_SECOND);
        let mut timeouts_of_groups = HashMap::new();
        let recalled = waiting.into_iter().filter_map(|record| {
            let random_timeout = || (fastrand::f64() * spread).round() as i32;
            let seconds = match &record.group {
                Some(group) => *timeouts_of_groups.entry(group.clone()).or_insert_with(random_timeout),
                None => random_timeout(),
            };
            // A record whose present time-out ends earlier is not changed.
            let waits_longer = record.left(now) > Duration::from_secs(seconds.unsigned_abs().into());
            waits_longer.then_some((record, seconds))
        });
        let mut recalled: Vec<_> = recalled.collect();
        // A call names one queue, and the function may consume several.
        recalled.sort_by(|(one, _), (other, _)| one.queue.url.cmp(&other.queue.url));
        let calls: Vec<_> = recalled
            .chunk_by(|(one, _), (other, _)| one.queue == other.queue)
            .flat_map(|of_queue| of_queue.chunks(ENTRIES_PER_CALL))
            .map(|chunk| self.recall_chunk(chunk, deadline))
            .collect();
        let replies: Vec<_> = stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).collect().await;
        let unanswered: Vec<_> = replies.iter().filter_map(|reply| reply.err()).flatten().collect();
        self.recallable.add(unanswered.iter().map(|(record, _)| record.clone()));
        Recalled { unanswered: unanswered.len(), accepted: replies.into_iter().flatten().sum() }
    }

    /// Returns the number of accepted requests, or the whole chunk if the queue did not reply in time.
    async fn recall_chunk<'a>(
        &self,
        chunk: &'a [(RecallableRecord, i32)],
        deadline: Deadline,
    ) -> Result<usize, &'a [(RecallableRecord, i32)]> {
        let [(first, _), ..] = chunk else { return Ok(0) };
        if deadline.left().is_zero() {
            return Err(chunk);
        }
        let entries = chunk.iter().enumerate();
        let entries =
            entries.filter_map(|(id, (record, seconds))| entry(id, &record.receipt_handle, *seconds));
        let failures = tokio::time::timeout(deadline.left(), self.change(&first.queue, entries.collect()));
        let failed: usize = failures.await.map_err(|_| chunk)?.iter().map(|failure| failure.messages).sum();
        Ok(chunk.len().saturating_sub(failed))
    }

    /// The returned records and their time-outs. A record without a receipt handle was not received from a queue and
    /// has no visibility time-out. In a FIFO queue, the returned records of a group get the time-out of the first one.
    /// Records that do not block the group are an exception: they get their own time-out, which is zero.
    fn returned<'a, O: Outcome>(
        &self,
        records: &'a [Record],
        completions: &[Completion<O>],
        max_receives: u32,
    ) -> Vec<Returned<'a>> {
        let mut timeouts_of_groups = HashMap::new();
        let returned =
            records.iter().zip(completions).filter(|(_, completion)| !completion.is_acknowledged());
        let returned = returned.filter_map(|(record, completion)| {
            let receipt_handle = record.receipt_handle.as_deref()?;
            let redelivery = completion.redelivery();
            let new_timeout = || {
                let jitter = Jitter { stretch: fastrand::f64(), rounding: fastrand::f64() };
                let receives = record.receive_count;
                (self.backoff.visibility_timeout(receives, max_receives, redelivery, jitter), redelivery)
            };
            let blocks_group = blocks_group(record.is_last_receive(max_receives), redelivery);
            let group = record.fifo_group.as_deref().filter(|_| blocks_group);
            let (seconds, redelivery) = match group {
                Some(group) => *timeouts_of_groups.entry(group).or_insert_with(new_timeout),
                None => new_timeout(),
            };
            Some(Returned { receipt_handle, group, seconds, redelivery })
        });
        returned.collect()
    }

    async fn change(&self, queue: &Queue, entries: Vec<Entry>) -> Vec<Failure> {
        let client = self.client.get_or_init(|| (self.connect)(queue.region.clone())).await;
        let calls: Vec<_> = entries
            .chunks(ENTRIES_PER_CALL)
            .map(|chunk| change_chunk(client, &queue.url, chunk.to_vec()))
            .collect();
        stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).filter_map(std::future::ready).collect().await
    }
}

async fn change_chunk(client: &Client, queue_url: &str, entries: Vec<Entry>) -> Option<Failure> {
    let messages = entries.len();
    let call = client.change_message_visibility_batch().queue_url(queue_url).set_entries(Some(entries));
    match call.send().await {
        Ok(reply) => {
            let reason = FailureReason::Refused(reply.failed.first()?.code.clone());
            Some(Failure { messages: reply.failed.len(), reason })
        }
        Err(error) => Some(Failure { messages, reason: Box::new(error).into() }),
    }
}

/// A record that is returned, with its visibility time-out.
struct Returned<'a> {
    receipt_handle: &'a str,
    /// Its FIFO message group, if the record blocks it.
    group: Option<&'a str>,
    /// The visibility time-out.
    seconds: i32,
    redelivery: Redelivery,
}

impl Returned<'_> {
    /// What is remembered of a record that waits for the end of an outage.
    fn recallable(&self, queue: &Arc<Queue>) -> Option<RecallableRecord> {
        let Redelivery::AfterOutage { cause, .. } = self.redelivery else { return None };
        let wait = Duration::from_secs(self.seconds.unsigned_abs().into());
        (!wait.is_zero()).then(|| RecallableRecord {
            queue: queue.clone(),
            receipt_handle: self.receipt_handle.to_owned(),
            group: self.group.map(str::to_owned),
            cause,
            returned: ClockReading::now(),
            wait,
        })
    }
}

fn entry(id: usize, receipt_handle: &str, seconds: i32) -> Option<Entry> {
    let entry = Entry::builder().id(id.to_string()).receipt_handle(receipt_handle);
    entry.visibility_timeout(seconds).build().ok()
}

impl fmt::Debug for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backoff, queue_url, .. } = self;
        f.debug_struct("Visibility")
            .field("backoff", backoff)
            .field("queue_url", queue_url)
            .finish_non_exhaustive()
    }
}
