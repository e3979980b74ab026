//! Pollers: receive, invoke, delete. None receives what no process is free for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::failed;
use super::event::{self, PAYLOAD_LIMIT, Received};
use super::processes::Processes;
use super::queues::{self, ENTRIES};
use super::rules::delivered;
use super::shared::Shared;
use crate::runtime_api::InvokeError;

/// A long poll. Short, so that whoever stops the mapping does not wait for it; nothing else depends on it.
const WAIT: Duration = Duration::from_secs(1);
/// Within a batch window, what is left of it can be less than SQS can wait.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After SQS has failed.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Source {
    pub(super) client: Client,
    pub(super) queue_url: String,
    pub(super) queue_arn: String,
    pub(super) fifo: bool,
    pub(super) batch_size: usize,
    pub(super) window: Duration,
    pub(super) processes: Processes,
    pub(super) shared: Arc<Shared>,
    /// As many permits as there may be processes at work.
    pub(super) free: Arc<Semaphore>,
}

impl Source {
    /// Polls until it is told to stop, and then finishes what it has received.
    pub(super) async fn poll(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut batches = JoinSet::new();
        loop {
            let permit = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                permit = self.free.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            // A poll is never abandoned: SQS might just be giving out what nobody would then work on.
            match self.gather().await {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => _ = batches.spawn(self.clone().work(messages, permit)),
                Err(error) => {
                    self.shared.warn(&format!("cannot receive: {error}"));
                    sleep(PAUSE).await;
                }
            }
            while batches.try_join_next().is_some() {}
        }
        batches.join_all().await;
    }

    /// A batch: full, or all there is, or what has come within the window.
    async fn gather(&self) -> io::Result<Vec<Received>> {
        let mut messages = self.receive(self.batch_size, WAIT).await?;
        let end = Instant::now() + self.window;
        while !messages.is_empty()
            && messages.len() < self.batch_size
            && event::size(&messages) < PAYLOAD_LIMIT
        {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = if left >= WAIT { WAIT } else { Duration::ZERO };
            // What has been received is worked on, whatever happens to SQS.
            let more = self.receive(self.batch_size - messages.len(), wait).await.unwrap_or_default();
            if more.is_empty() && wait.is_zero() {
                sleep(LOOK_AGAIN.min(left)).await;
            }
            messages.extend(more);
        }
        Ok(messages)
    }

    async fn receive(&self, most: usize, wait: Duration) -> io::Result<Vec<Received>> {
        let most = i32::try_from(most.min(ENTRIES)).unwrap_or_default();
        let wait = i32::try_from(wait.as_secs()).unwrap_or_default();
        let receive = self.client.receive_message().queue_url(&self.queue_url);
        let receive = receive.max_number_of_messages(most).wait_time_seconds(wait);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let reply = receive.message_attribute_names("All").send().await.map_err(failed)?;
        let messages = reply.messages.unwrap_or_default();
        self.shared.in_flight.fetch_add(messages.len(), Relaxed);
        Ok(messages.into_iter().map(|message| Received::new(message, &self.queue_arn)).collect())
    }

    /// One batch, or several one after the other when they are too large together.
    async fn work(self: Arc<Self>, messages: Vec<Received>, _permit: OwnedSemaphorePermit) {
        let mut blocked = false;
        for batch in event::batches(messages, self.batch_size) {
            // In a FIFO queue, what comes after a failure would overtake it.
            let deleted = if blocked && self.fifo { 0 } else { self.invoke(&batch).await };
            blocked |= deleted < batch.len();
            self.shared.in_flight.fetch_sub(batch.len(), Relaxed);
            self.shared.returned.fetch_add((batch.len() - deleted) as u64, Relaxed);
        }
    }

    /// How many messages are deleted; a crash or a time-out deletes nothing.
    async fn invoke(&self, batch: &[Received]) -> usize {
        self.shared.invocations.fetch_add(1, Relaxed);
        match self.processes.invoke(event::payload(batch)).await {
            Ok(response) => {
                let ids: Vec<_> = batch.iter().map(|message| message.message_id.as_str()).collect();
                let verdict = delivered(&response, &ids);
                if let Some(failure) = verdict.failure {
                    self.shared.warn(failure);
                }
                let is_deleted = |message: &&Received| verdict.deleted.contains(&message.message_id);
                self.delete(&batch.iter().filter(is_deleted).collect::<Vec<_>>()).await
            }
            Err(error) => {
                let count = match error {
                    InvokeError::TimedOut => Some(&self.shared.timeouts),
                    InvokeError::Exited(_) => Some(&self.shared.crashes),
                    InvokeError::Io(_) => None,
                };
                if let Some(count) = count {
                    count.fetch_add(1, Relaxed);
                }
                self.shared.warn(&error.to_string());
                0
            }
        }
    }

    async fn delete(&self, messages: &[&Received]) -> usize {
        let handles: Vec<_> = messages.iter().map(|message| message.receipt_handle.as_str()).collect();
        let (deleted, errors) = queues::delete(&self.client, &self.queue_url, &handles).await;
        for error in errors {
            self.shared.warn(&format!("cannot delete: {error}"));
        }
        self.shared.settled(messages.iter().filter_map(|message| message.sent));
        self.shared.done.fetch_add(deleted as u64, Relaxed);
        deleted
    }
}
