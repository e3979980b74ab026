//! When a returned record comes again: the queue does the waiting, for the function does not sleep while it
//! is billed (contract section 6).
//!
//! Best effort: whatever goes wrong here is logged, the queue's own visibility time-out applies, and the
//! response is the same.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;

use crate::aws;
use crate::config::Config;
use crate::outcome::Outcome;
use crate::record::Record;
use crate::retry::Deadline;
use crate::telemetry::metrics::Metrics;

mod backoff;
mod queue;

use backoff::Backoff;
use queue::Queue;

/// SQS takes so many entries a call.
const ENTRIES: usize = 10;
/// Calls side by side, for the batches of thousands that a wide window can make.
const CALLS: usize = 10;
/// Without a deadline, no answer is waited for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Asks the queue to keep returned records for a while.
#[derive(Debug)]
pub struct Visibility {
    backoff: Backoff,
    queue_url: Option<String>,
    client: OnceCell<Client>,
    metrics: Metrics,
}

impl Visibility {
    /// The SQS client is made as the environment describes it, when the first record is returned.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Self::with(config, metrics, OnceCell::new())
    }

    /// Uses the SQS client that is given, if one is.
    pub fn with(config: &Config, metrics: Metrics, client: OnceCell<Client>) -> Self {
        let queue_url = config.sqs_queue_url.as_ref().map(ToString::to_string);
        Self { backoff: Backoff::new(config), queue_url, client, metrics }
    }

    /// Gives each returned record its visibility time-out, until the deadline at the latest.
    pub async fn keep(&self, records: &[Record], outcomes: &[Outcome], deadline: Deadline) {
        let entries = self.entries(records, outcomes);
        let Some(first) = records.first().filter(|_| !entries.is_empty()) else { return };
        let Some(queue) = Queue::of(self.queue_url.as_deref(), first.queue_arn.as_deref()) else {
            self.metrics.visibility_errors(entries.len());
            tracing::warn!(records = entries.len(), "no queue to ask for visibility time-outs");
            return;
        };
        let wanted = entries.len();
        let asked = tokio::time::timeout(deadline.left().min(LONGEST_WAIT), self.ask(&queue, entries)).await;
        match asked {
            Ok(failures) if failures.is_empty() => {}
            Ok(failures) => {
                let failed: usize = failures.iter().map(|failure| failure.entries).sum();
                self.metrics.visibility_errors(failed);
                let reason = failures.first().map(|failure| failure.reason.as_str());
                tracing::warn!(failed, wanted, reason, "visibility time-outs not changed");
            }
            Err(_) => {
                self.metrics.visibility_errors(wanted);
                tracing::warn!(wanted, reason = "no answer in time", "visibility time-outs not changed");
            }
        }
    }

    /// A record without a receipt handle was received from no queue, and has no visibility time-out.
    /// In a FIFO queue the whole returned part of a group gets what its first record gets.
    fn entries(&self, records: &[Record], outcomes: &[Outcome]) -> Vec<Entry> {
        let mut groups = HashMap::new();
        let returned = records.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_acknowledged());
        let entries = returned.enumerate().filter_map(|(place, (record, outcome))| {
            let own = || self.backoff.visibility(record.receive_count, outcome, fastrand::f64());
            let visibility = match record.fifo_group.as_deref() {
                Some(group) => *groups.entry(group).or_insert_with(own),
                None => own(),
            };
            let entry =
                Entry::builder().id(place.to_string()).receipt_handle(record.receipt_handle.as_deref()?);
            entry.visibility_timeout(visibility).build().ok()
        });
        entries.collect()
    }

    async fn ask(&self, queue: &Queue, entries: Vec<Entry>) -> Vec<Failure> {
        let connect = async || Client::new(&aws::config(queue.region.clone()).await);
        let client = self.client.get_or_init(connect).await;
        let calls = entries.chunks(ENTRIES).map(|chunk| {
            let call = client.change_message_visibility_batch().queue_url(&queue.url);
            let call = call.set_entries(Some(chunk.to_vec())).send();
            async move {
                match call.await {
                    Ok(reply) => reply
                        .failed
                        .first()
                        .map(|first| Failure { entries: reply.failed.len(), reason: first.code.clone() }),
                    Err(error) => Some(Failure { entries: chunk.len(), reason: aws::reason(&error) }),
                }
            }
        });
        stream::iter(calls).buffer_unordered(CALLS).filter_map(std::future::ready).collect().await
    }
}

struct Failure {
    entries: usize,
    reason: String,
}
