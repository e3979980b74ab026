//! Pollers receive messages, invoke the function with them, and delete them. A poller receives messages only
//! when one more process may be invoked.

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
use super::event::{self, PAYLOAD_LIMIT, ReceivedMessage};
use super::processes::{NoResponse, Processes};
use super::queues::{self, MAX_BATCH_ENTRIES};
use super::response::batch_result;
use super::state::MappingState;
use crate::runtime_api::InvokeError;

/// The wait time of a long poll. It is short because stopping the mapping waits for the current poll.
const LONG_POLL: Duration = Duration::from_secs(1);
/// The pause between short polls at the end of a batch window. SQS only waits for whole seconds.
const SHORT_POLL_PAUSE: Duration = Duration::from_millis(50);
/// The pause after a failed call to SQS.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Pollers {
    pub(super) client: Client,
    pub(super) queue_url: String,
    pub(super) queue_arn: String,
    pub(super) fifo: bool,
    pub(super) batch_size: usize,
    pub(super) window: Duration,
    pub(super) processes: Processes,
    pub(super) state: Arc<MappingState>,
    /// Has a permit for each invocation that may still start.
    pub(super) free: Arc<Semaphore>,
}

impl Pollers {
    /// Polls until `stop` becomes `true`, then completes the received messages.
    pub(super) async fn poll(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut batches = JoinSet::new();
        loop {
            let permit = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                permit = self.free.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            // A poll is never cancelled: SQS may already have delivered messages, and they would stay
            // invisible until their visibility time-out.
            match self.receive_batch().await {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => _ = batches.spawn(self.clone().handle(messages, permit)),
                Err(error) => {
                    self.state.warn(&format!("cannot receive messages: {error}"));
                    sleep(ERROR_PAUSE).await;
                }
            }
            while batches.try_join_next().is_some() {}
        }
        batches.join_all().await;
    }

    /// Receives messages until the batch is full or the window has ended. Without a window, this is one
    /// receive.
    async fn receive_batch(&self) -> io::Result<Vec<ReceivedMessage>> {
        let mut messages = self.receive(self.batch_size, LONG_POLL).await?;
        let end = Instant::now() + self.window;
        while !messages.is_empty()
            && messages.len() < self.batch_size
            && event::size(&messages) < PAYLOAD_LIMIT
        {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = if left >= LONG_POLL { LONG_POLL } else { Duration::ZERO };
            // An error here must not lose the messages that were already received.
            let more = self.receive(self.batch_size - messages.len(), wait).await.unwrap_or_default();
            if more.is_empty() && wait.is_zero() {
                sleep(SHORT_POLL_PAUSE.min(left)).await;
            }
            messages.extend(more);
        }
        Ok(messages)
    }

    async fn receive(&self, limit: usize, wait: Duration) -> io::Result<Vec<ReceivedMessage>> {
        let limit = i32::try_from(limit.min(MAX_BATCH_ENTRIES)).unwrap_or_default();
        let wait = i32::try_from(wait.as_secs()).unwrap_or_default();
        let receive = self.client.receive_message().queue_url(&self.queue_url);
        let receive = receive.max_number_of_messages(limit).wait_time_seconds(wait);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let reply = receive.message_attribute_names("All").send().await.map_err(failed)?;
        let messages = reply.messages.unwrap_or_default();
        self.state.in_flight.fetch_add(messages.len(), Relaxed);
        Ok(messages.into_iter().map(|message| ReceivedMessage::new(message, &self.queue_arn)).collect())
    }

    /// Invokes the function with the messages. If one event with all of them would be too large, there are
    /// several invocations, one after the other.
    async fn handle(self: Arc<Self>, messages: Vec<ReceivedMessage>, _permit: OwnedSemaphorePermit) {
        let mut blocked = false;
        for batch in event::batches(messages, self.batch_size) {
            // In a FIFO queue, the messages after a returned message must not overtake it.
            let deleted = if blocked && self.fifo { 0 } else { self.invoke(&batch).await };
            blocked |= deleted < batch.len();
            self.state.in_flight.fetch_sub(batch.len(), Relaxed);
            self.state.returned.fetch_add((batch.len() - deleted) as u64, Relaxed);
        }
    }

    /// Returns the number of messages that were deleted. Without a response, none is deleted.
    async fn invoke(&self, batch: &[ReceivedMessage]) -> usize {
        self.state.invocations.fetch_add(1, Relaxed);
        let began = Instant::now();
        match self.processes.invoke(event::payload(batch), batch.len()).await {
            Ok(response) => {
                let ids: Vec<_> = batch.iter().map(|message| message.message_id.as_str()).collect();
                let result = batch_result(&response, &ids);
                if let Some(failure) = result.failure {
                    self.state.warn(failure);
                }
                let is_deleted = |message: &&ReceivedMessage| result.deleted.contains(&message.message_id);
                self.delete(&batch.iter().filter(is_deleted).collect::<Vec<_>>()).await
            }
            Err(NoResponse { process, error }) => {
                let count = match error {
                    InvokeError::TimedOut => Some(&self.state.timeouts),
                    InvokeError::Exited(_) | InvokeError::InitFailed(_) => Some(&self.state.crashes),
                    InvokeError::Io(_) => None,
                };
                if let Some(count) = count {
                    count.fetch_add(1, Relaxed);
                }
                self.state.warn_of_interruption(&error.to_string(), process, began.elapsed(), batch);
                0
            }
        }
    }

    /// Returns the number of messages that were deleted.
    async fn delete(&self, messages: &[&ReceivedMessage]) -> usize {
        let handles: Vec<_> = messages.iter().map(|message| message.receipt_handle.as_str()).collect();
        let (deleted, errors) = queues::delete(&self.client, &self.queue_url, &handles).await;
        for error in errors {
            self.state.warn(&format!("cannot delete a message: {error}"));
        }
        self.state.record_ages(messages.iter().filter_map(|message| message.sent));
        self.state.done.fetch_add(deleted as u64, Relaxed);
        deleted
    }
}
