//! Visibility time-outs of returned records (feature `visibility`).
//!
//! Records wait in the queue, because a function is billed while it sleeps. Changing a time-out is best effort: if
//! the change fails, the queue's own time-out applies, the failure is reported to the observer, and the response is
//! unchanged.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchError;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;

use crate::backoff::Backoff;
use crate::deadline::Deadline;
use crate::outcome::{Completion, Outcome};
use crate::record::Record;

mod queue;

use queue::Queue;

/// `ChangeMessageVisibilityBatch` takes at most this many entries.
const ENTRIES_PER_CALL: usize = 10;
/// The largest number of concurrent calls. A batch can have thousands of records.
const CONCURRENT_CALLS: usize = 10;
/// The longest wait for the replies of the queue.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

type Connect = Box<dyn Fn(Option<Region>) -> BoxFuture<'static, Client> + Send + Sync>;

/// Changes the visibility time-outs of returned records.
pub struct Visibility {
    backoff: Backoff,
    queue_url: Option<String>,
    connect: Connect,
    client: OnceCell<Client>,
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
    /// Applies `backoff`. `connect` makes the SQS client when the first record is returned. Its argument is the
    /// region of the queue; `None` if the region is not known.
    pub fn new<F>(backoff: Backoff, connect: impl Fn(Option<Region>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Client> + Send + 'static,
    {
        let connect: Connect = Box::new(move |region| Box::pin(connect(region)));
        Self { backoff, queue_url: None, connect, client: OnceCell::new() }
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
        let entries = self.entries(records, completions, max_receives);
        let Some(first) = records.first().filter(|_| !entries.is_empty()) else { return Vec::new() };
        let messages = entries.len();
        let Some(queue) = Queue::of(self.queue_url.as_deref(), first.queue_arn.as_deref()) else {
            return vec![Failure { messages, reason: FailureReason::UnknownQueue }];
        };
        let time = deadline.left().min(LONGEST_WAIT);
        let changed = tokio::time::timeout(time, self.change(&queue, entries)).await;
        changed.unwrap_or_else(|_| vec![Failure { messages, reason: FailureReason::NoReply }])
    }

    /// A record without a receipt handle was not received from a queue and has no visibility time-out. In a FIFO
    /// queue the whole returned part of a group gets the time-out of its first record.
    fn entries<O: Outcome>(
        &self,
        records: &[Record],
        completions: &[Completion<O>],
        max_receives: u32,
    ) -> Vec<Entry> {
        let mut groups = HashMap::new();
        let returned =
            records.iter().zip(completions).filter(|(_, completion)| !completion.is_acknowledged());
        let entries = returned.enumerate().filter_map(|(number, (record, completion))| {
            let own = || {
                let (receives, redelivery) = (record.receive_count, completion.redelivery());
                self.backoff.visibility_timeout(receives, max_receives, redelivery, fastrand::f64())
            };
            let seconds = match record.fifo_group.as_deref() {
                Some(group) => *groups.entry(group).or_insert_with(own),
                None => own(),
            };
            let entry =
                Entry::builder().id(number.to_string()).receipt_handle(record.receipt_handle.as_deref()?);
            entry.visibility_timeout(seconds).build().ok()
        });
        entries.collect()
    }

    async fn change(&self, queue: &Queue, entries: Vec<Entry>) -> Vec<Failure> {
        let client = self.client.get_or_init(|| (self.connect)(queue.region.clone())).await;
        let calls = entries.chunks(ENTRIES_PER_CALL).map(|chunk| {
            let call = client.change_message_visibility_batch().queue_url(&queue.url);
            let call = call.set_entries(Some(chunk.to_vec())).send();
            async move {
                match call.await {
                    Ok(reply) => reply.failed.first().map(|first| Failure {
                        messages: reply.failed.len(),
                        reason: FailureReason::Refused(first.code.clone()),
                    }),
                    Err(error) => Some(Failure { messages: chunk.len(), reason: Box::new(error).into() }),
                }
            }
        });
        stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).filter_map(std::future::ready).collect().await
    }
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
