//! Queues with their dead-letter queues.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};

use super::client::failed;
use super::outgoing::Outgoing;
use crate::services::locked;

/// SQS takes so many entries a call.
pub(super) const ENTRIES: usize = 10;
/// While the DLQ is looked at, nobody else is given its messages.
const LOOK: i32 = 30;

/// A queue and its dead-letter queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// URL, as SQS gave it.
    pub url: String,
    /// ARN.
    pub arn: String,
    /// URL of the dead-letter queue.
    pub dlq_url: String,
    /// ARN of the dead-letter queue.
    pub dlq_arn: String,
    /// Both are FIFO queues.
    pub fifo: bool,
    pub(super) endpoint: String,
    /// By which a function finds it.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) client: Client,
    /// How often [`Queue::dead`] has received a message: SQS goes on counting in the DLQ.
    pub(super) looks: Arc<Mutex<HashMap<String, u32>>>,
}

impl Queue {
    /// Sends messages in this order, ten a call: bodies, or pairs of group and body. In a FIFO queue each
    /// has a deduplication id of its own. Returns the message ids.
    ///
    /// # Errors
    ///
    /// SQS refuses one; those before it are sent.
    pub async fn send<M: Into<Outgoing>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> io::Result<Vec<String>> {
        let messages: Vec<Outgoing> = messages.into_iter().map(Into::into).collect();
        let mut ids = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(ENTRIES) {
            let mut call = self.client.send_message_batch().queue_url(&self.url);
            for (place, message) in chunk.iter().enumerate() {
                let mut entry =
                    SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(&message.body);
                if self.fifo {
                    let unique = format!("{:032x}", fastrand::u128(..));
                    let group = message.group.as_deref().unwrap_or("all");
                    entry = entry.message_group_id(group).message_deduplication_id(unique);
                }
                call = call.entries(entry.build().map_err(failed)?);
            }
            let sent = call.send().await.map_err(failed)?;
            if let Some(refused) = sent.failed.first() {
                let why = refused.message.as_deref().unwrap_or(&refused.code);
                return Err(io::Error::other(format!("a message was not sent: {why}")));
            }
            let mut sent = sent.successful;
            sent.sort_by_key(|entry| entry.id.parse::<usize>().unwrap_or_default());
            ids.extend(sent.into_iter().map(|entry| entry.message_id));
        }
        Ok(ids)
    }

    /// How many messages can be received, and how many cannot: in flight, or kept back until later.
    ///
    /// # Errors
    ///
    /// SQS does not answer.
    pub async fn depth(&self) -> io::Result<(usize, usize)> {
        self.depth_of(&self.url).await
    }

    /// How many messages are in the DLQ.
    ///
    /// # Errors
    ///
    /// SQS does not answer.
    pub async fn dead_count(&self) -> io::Result<usize> {
        let (visible, kept) = self.depth_of(&self.dlq_url).await?;
        Ok(visible + kept)
    }

    async fn depth_of(&self, url: &str) -> io::Result<(usize, usize)> {
        let visible = QueueAttributeName::ApproximateNumberOfMessages;
        let in_flight = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let names = [visible.clone(), in_flight.clone()];
        let asked = self.client.get_queue_attributes().queue_url(url);
        let answered = asked.set_attribute_names(Some(names.to_vec())).send().await.map_err(failed)?;
        let attributes = answered.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok((count(visible), count(in_flight)))
    }

    /// All messages of the DLQ, which stay there: message id, body, and how often the queue gave it out.
    ///
    /// # Errors
    ///
    /// SQS does not answer.
    pub async fn dead(&self) -> io::Result<Vec<(String, String, u32)>> {
        let messages = self.take_dead().await?;
        for message in &messages {
            let back = self.client.change_message_visibility().queue_url(&self.dlq_url);
            let back = back.set_receipt_handle(message.receipt_handle.clone()).visibility_timeout(0);
            back.send().await.map_err(failed)?;
        }
        let mut looks = locked(&self.looks);
        let dead = messages.into_iter().map(|message| {
            let received = attribute(&message, &MessageSystemAttributeName::ApproximateReceiveCount);
            let received: u32 = received.and_then(|count| count.parse().ok()).unwrap_or_default();
            let id = message.message_id.unwrap_or_default();
            let look = looks.entry(id.clone()).or_default();
            *look += 1;
            (id, message.body.unwrap_or_default(), received.saturating_sub(*look))
        });
        Ok(dead.collect())
    }

    /// Moves the messages of the DLQ back, under new message ids. How many there were.
    ///
    /// Not by `StartMessageMoveTask`, which moto does not have.
    ///
    /// # Errors
    ///
    /// SQS does not answer; a message may then be in both queues.
    pub async fn redrive(&self) -> io::Result<usize> {
        let messages = self.take_dead().await?;
        for message in &messages {
            let group = attribute(message, &MessageSystemAttributeName::MessageGroupId);
            let body = message.body.clone().unwrap_or_default();
            self.send([Outgoing { body, group: group.map(str::to_owned) }]).await?;
            let deletion = self.client.delete_message().queue_url(&self.dlq_url);
            deletion.set_receipt_handle(message.receipt_handle.clone()).send().await.map_err(failed)?;
        }
        Ok(messages.len())
    }

    async fn take_dead(&self) -> io::Result<Vec<Message>> {
        let mut all = Vec::new();
        loop {
            let receive = self.client.receive_message().queue_url(&self.dlq_url).visibility_timeout(LOOK);
            let receive = receive.max_number_of_messages(10).wait_time_seconds(0);
            let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
            let messages = receive.send().await.map_err(failed)?.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(all);
            }
            all.extend(messages);
        }
    }
}

/// Deletes messages, ten a call. How many were deleted.
pub(super) async fn delete(client: &Client, url: &str, receipt_handles: &[&str]) -> (usize, Vec<io::Error>) {
    let (mut deleted, mut errors) = (0, Vec::new());
    for chunk in receipt_handles.chunks(ENTRIES) {
        let entries = chunk.iter().enumerate().filter_map(|(place, handle)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string());
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

fn attribute<'a>(message: &'a Message, name: &MessageSystemAttributeName) -> Option<&'a str> {
    message.attributes.as_ref()?.get(name).map(String::as_str)
}
