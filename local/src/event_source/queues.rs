//! A queue with its dead-letter queue (DLQ): sends messages, counts them, and reads the DLQ.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName, SendMessageBatchRequestEntry,
};

use super::client::failed;
use super::outgoing_message::OutgoingMessage;
use crate::lock::locked;

/// SQS's limit for the number of entries in one call.
pub const MAX_BATCH_ENTRIES: usize = 10;
/// The visibility time-out of a message while the DLQ is read, in seconds.
const DLQ_READ_TIMEOUT: i32 = 30;

/// A queue and its dead-letter queue (DLQ).
#[derive(Debug, Clone)]
pub struct Queue {
    /// The URL of the queue.
    pub url: String,
    /// The ARN of the queue.
    pub arn: String,
    /// The URL of the DLQ.
    pub dlq_url: String,
    /// The ARN of the DLQ.
    pub dlq_arn: String,
    /// Whether both are FIFO queues.
    pub fifo: bool,
    pub(super) endpoint: String,
    /// The environment variables with which a function uses this queue.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) client: Client,
    /// How often each message was received from the DLQ, by message id. SQS includes these receives in its receive
    /// count.
    pub(super) dlq_receives: Arc<Mutex<HashMap<String, u32>>>,
}

impl Queue {
    /// Sends messages in this order, in calls of at most 10. A message is a body, or a pair of message group
    /// and body. In a FIFO queue, each message gets a new deduplication id. Returns the message ids.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects a message. The messages of earlier calls have been sent.
    pub async fn send<M: Into<OutgoingMessage>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> io::Result<Vec<String>> {
        let messages: Vec<OutgoingMessage> = messages.into_iter().map(Into::into).collect();
        let mut ids = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(MAX_BATCH_ENTRIES) {
            let mut call = self.client.send_message_batch().queue_url(&self.url);
            for (index, message) in chunk.iter().enumerate() {
                let mut entry =
                    SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(&message.body);
                for (name, value) in &message.attributes {
                    let value = MessageAttributeValue::builder().data_type("String").string_value(value);
                    entry = entry.message_attributes(name, value.build().map_err(failed)?);
                }
                if let Some(header) = &message.trace_header {
                    let value =
                        MessageSystemAttributeValue::builder().data_type("String").string_value(header);
                    let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
                    entry = entry.message_system_attributes(name, value.build().map_err(failed)?);
                }
                if self.fifo {
                    let deduplication_id = format!("{:032x}", fastrand::u128(..));
                    let group = message.group.as_deref().unwrap_or("all");
                    entry = entry.message_group_id(group).message_deduplication_id(deduplication_id);
                }
                call = call.entries(entry.build().map_err(failed)?);
            }
            let sent = call.send().await.map_err(failed)?;
            if let Some(rejected) = sent.failed.first() {
                let reason = rejected.message.as_deref().unwrap_or(&rejected.code);
                return Err(io::Error::other(format!("a message was not sent: {reason}")));
            }
            let mut sent = sent.successful;
            sent.sort_by_key(|entry| entry.id.parse::<usize>().unwrap_or_default());
            ids.extend(sent.into_iter().map(|entry| entry.message_id));
        }
        Ok(ids)
    }

    /// The number of messages that are visible, and the number of messages that are not: those in flight and
    /// those that wait for their visibility time-out.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects the call.
    pub async fn depth(&self) -> io::Result<(usize, usize)> {
        self.depth_of(&self.url).await
    }

    /// The number of messages in the DLQ.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects the call.
    pub async fn dead_count(&self) -> io::Result<usize> {
        let (visible, not_visible) = self.dead_depth().await?;
        Ok(visible + not_visible)
    }

    /// The number of messages in the DLQ that are visible, and the number of those that are not, because somebody has
    /// received them.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects the call.
    pub async fn dead_depth(&self) -> io::Result<(usize, usize)> {
        self.depth_of(&self.dlq_url).await
    }

    async fn depth_of(&self, url: &str) -> io::Result<(usize, usize)> {
        let visible = QueueAttributeName::ApproximateNumberOfMessages;
        let not_visible = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let names = [visible.clone(), not_visible.clone()];
        let call = self.client.get_queue_attributes().queue_url(url);
        let reply = call.set_attribute_names(Some(names.to_vec())).send().await.map_err(failed)?;
        let attributes = reply.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok((count(visible), count(not_visible)))
    }

    /// Reads the messages of the DLQ and leaves them there. Returns the message id, the body, and the number
    /// of times that the message was received from the queue.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects a call.
    pub async fn dead_letters(&self) -> io::Result<Vec<(String, String, u32)>> {
        let messages = self.receive_dead().await?;
        self.put_back(&messages).await?;
        let dlq_receives = locked(&self.dlq_receives);
        let dead = messages.into_iter().map(|message| {
            let received = attribute(&message, &MessageSystemAttributeName::ApproximateReceiveCount);
            let received: u32 = received.and_then(|count| count.parse().ok()).unwrap_or_default();
            let id = message.message_id.unwrap_or_default();
            let from_dlq = dlq_receives.get(&id).copied().unwrap_or_default();
            (id, message.body.unwrap_or_default(), received.saturating_sub(from_dlq))
        });
        Ok(dead.collect())
    }

    /// Moves the messages of the DLQ back to the queue. They get new message ids. Returns their number.
    ///
    /// # Errors
    ///
    /// The same as of [`Self::redrive_some`].
    pub async fn redrive(&self) -> io::Result<usize> {
        Ok(self.redrive_some(|_| true).await?.len())
    }

    /// Moves the messages of the DLQ with a chosen message id back to the queue. They get new message ids. Returns the
    /// old ids.
    ///
    /// This function does not use `StartMessageMoveTask`, because moto does not implement it.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects a call. A message may be in both queues then.
    pub async fn redrive_some(&self, is_chosen: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let chosen = self.choose_dead(is_chosen).await?;
        for messages in chosen.chunks(MAX_BATCH_ENTRIES) {
            self.send(messages.iter().map(copy)).await?;
            self.delete_from_dead(messages).await?;
        }
        Ok(ids(chosen))
    }

    /// Deletes the messages of the DLQ with a chosen message id. Returns these ids.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects a call.
    pub async fn delete_dead(&self, is_chosen: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let chosen = self.choose_dead(is_chosen).await?;
        self.delete_from_dead(&chosen).await?;
        Ok(ids(chosen))
    }

    /// Receives the chosen messages of the DLQ, and makes the others visible again.
    async fn choose_dead(&self, is_chosen: impl Fn(&str) -> bool) -> io::Result<Vec<Message>> {
        let (chosen, others): (Vec<_>, Vec<_>) = self
            .receive_dead()
            .await?
            .into_iter()
            .partition(|message| message.message_id.as_deref().is_some_and(&is_chosen));
        self.put_back(&others).await?;
        Ok(chosen)
    }

    /// Makes received messages of the DLQ visible again.
    async fn put_back(&self, messages: &[Message]) -> io::Result<()> {
        for chunk in messages.chunks(MAX_BATCH_ENTRIES) {
            let entries = chunk.iter().enumerate().filter_map(|(index, message)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                let entry = entry.set_receipt_handle(message.receipt_handle.clone());
                entry.visibility_timeout(0).build().ok()
            });
            let back = self.client.change_message_visibility_batch().queue_url(&self.dlq_url);
            // A message that was removed in the meantime does not have to be visible again.
            back.set_entries(Some(entries.collect())).send().await.map_err(failed)?;
        }
        Ok(())
    }

    async fn delete_from_dead(&self, messages: &[Message]) -> io::Result<()> {
        let handles: Vec<_> =
            messages.iter().filter_map(|message| message.receipt_handle.as_deref()).collect();
        let (_, errors) = delete(&self.client, &self.dlq_url, &handles).await;
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Receives all messages of the DLQ, and counts these receives.
    async fn receive_dead(&self) -> io::Result<Vec<Message>> {
        let mut all = Vec::new();
        let mut ids = HashSet::new();
        loop {
            let receive =
                self.client.receive_message().queue_url(&self.dlq_url).visibility_timeout(DLQ_READ_TIMEOUT);
            let receive = receive.max_number_of_messages(10).wait_time_seconds(0);
            let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
            let receive = receive.message_attribute_names("All");
            let messages = receive.send().await.map_err(failed)?.messages.unwrap_or_default();
            let mut dlq_receives = locked(&self.dlq_receives);
            for id in messages.iter().filter_map(|message| message.message_id.clone()) {
                *dlq_receives.entry(id).or_default() += 1;
            }
            // The first messages of a large DLQ are visible again before the last ones are received.
            let is_new = |message: &Message| ids.insert(message.message_id.clone());
            let new: Vec<_> = messages.into_iter().filter(is_new).collect();
            if new.is_empty() {
                return Ok(all);
            }
            all.extend(new);
        }
    }
}

/// Deletes messages, in calls of at most 10. Returns the number of messages that were deleted, and the
/// errors.
pub(super) async fn delete(client: &Client, url: &str, receipt_handles: &[&str]) -> (usize, Vec<io::Error>) {
    let (mut deleted, mut errors) = (0, Vec::new());
    for chunk in receipt_handles.chunks(MAX_BATCH_ENTRIES) {
        let entries = chunk.iter().enumerate().filter_map(|(index, handle)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(*handle).build().ok()
        });
        let call = client.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
        match call.send().await {
            Ok(reply) => {
                deleted += reply.successful.len();
                errors.extend(
                    reply
                        .failed
                        .into_iter()
                        .map(|entry| io::Error::other(entry.message.unwrap_or(entry.code))),
                );
            }
            Err(error) => errors.push(failed(error)),
        }
    }
    (deleted, errors)
}

fn ids(messages: Vec<Message>) -> Vec<String> {
    messages.into_iter().filter_map(|message| message.message_id).collect()
}

/// The message, to be sent again.
fn copy(message: &Message) -> OutgoingMessage {
    let system = |name| attribute(message, &name).map(str::to_owned);
    let attributes = message.message_attributes.iter().flatten();
    OutgoingMessage {
        body: message.body.clone().unwrap_or_default(),
        group: system(MessageSystemAttributeName::MessageGroupId),
        attributes: attributes
            .filter_map(|(name, value)| Some((name.clone(), value.string_value.clone()?)))
            .collect(),
        trace_header: system(MessageSystemAttributeName::AwsTraceHeader),
    }
}

fn attribute<'a>(message: &'a Message, name: &MessageSystemAttributeName) -> Option<&'a str> {
    message.attributes.as_ref()?.get(name).map(String::as_str)
}
