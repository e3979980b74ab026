//! A queue, and the calls to SQS that the tool makes for it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use reservation_worker::aws::reason;
use serde::Deserialize;

/// The largest number of messages or entries that SQS accepts in one call.
pub(crate) const BATCH: usize = 10;

/// A queue, which the URL identifies.
#[derive(Debug)]
pub(crate) struct Queue {
    client: Client,
    pub(crate) url: String,
}

/// Where SQS moves the messages of a queue that were received too often.
#[derive(Debug, Deserialize)]
struct RedrivePolicy {
    #[serde(rename = "deadLetterTargetArn")]
    dead_letter_target_arn: String,
}

/// The time for which a receive waits for a message, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poll {
    Short = 0,
    Long = 1,
}

/// The approximate numbers of messages in a queue. SQS knows no exact numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) hidden: usize,
}

impl Queue {
    pub(crate) fn new(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(config), url }
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.url.ends_with(".fifo")
    }

    /// Receives up to ten messages and hides them for this time. A long poll asks all servers of the queue; a short
    /// poll asks only some of them, but does not wait for a message.
    pub(crate) async fn receive(&self, visibility: Duration, poll: Poll) -> Result<Vec<Message>> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(BATCH as i32);
        let call = call.visibility_timeout(seconds(visibility)).wait_time_seconds(poll as i32);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        let reply = call.message_attribute_names("All").send().await;
        let reply = reply.map_err(|error| anyhow!("sqs:ReceiveMessage: {}", reason(&error)))?;
        Ok(reply.messages.unwrap_or_default())
    }

    /// Hides messages for this time from now, or makes them visible if the time is zero. The result of each is at the
    /// index of its handle.
    pub(crate) async fn hide(&self, handles: &[String], time: Duration) -> Vec<Result<(), String>> {
        let entries = handles.iter().enumerate().filter_map(|(index, handle)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(handle).visibility_timeout(seconds(time)).build().ok()
        });
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        match call.set_entries(Some(entries.collect())).send().await {
            Ok(reply) => results_by_index(
                handles.len(),
                reply.successful.iter().map(|entry| entry.id.as_str()),
                &reply.failed,
            ),
            Err(error) => {
                vec![Err(format!("sqs:ChangeMessageVisibility: {}", reason(&error))); handles.len()]
            }
        }
    }

    /// Deletes messages. The result of each is at the index of its handle.
    pub(crate) async fn delete(&self, handles: &[String]) -> Vec<Result<(), String>> {
        let entries = handles.iter().enumerate().filter_map(|(index, handle)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(handle).build().ok()
        });
        let call = self.client.delete_message_batch().queue_url(&self.url);
        match call.set_entries(Some(entries.collect())).send().await {
            Ok(reply) => results_by_index(
                handles.len(),
                reply.successful.iter().map(|entry| entry.id.as_str()),
                &reply.failed,
            ),
            Err(error) => vec![Err(format!("sqs:DeleteMessage: {}", reason(&error))); handles.len()],
        }
    }

    /// Sends the message that `add_message` adds to the call. Returns its new message id.
    pub(crate) async fn send(
        &self,
        add_message: impl FnOnce(SendMessageFluentBuilder) -> Result<SendMessageFluentBuilder>,
    ) -> Result<String> {
        let call = add_message(self.client.send_message().queue_url(&self.url))?;
        let reply = call.send().await.map_err(|error| anyhow!("sqs:SendMessage: {}", reason(&error)))?;
        reply.message_id.context("sqs:SendMessage returned no message id")
    }

    pub(crate) async fn counts(&self) -> Result<Counts> {
        let visible = QueueAttributeName::ApproximateNumberOfMessages;
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let attributes = self.attributes(vec![visible.clone(), hidden.clone()]).await?;
        let count = |name| attributes.iter().find(|(found, _)| *found == name)?.1.parse().ok();
        Ok(Counts { visible: count(visible).unwrap_or(0), hidden: count(hidden).unwrap_or(0) })
    }

    pub(crate) async fn arn(&self) -> Result<String> {
        let attributes = self.attributes(vec![QueueAttributeName::QueueArn]).await?;
        let (_, arn) = attributes.into_iter().next().context("the queue has no ARN")?;
        Ok(arn)
    }

    /// The ARN of the dead-letter queue of this queue, if it has one.
    pub(crate) async fn dead_letter_target(&self) -> Result<Option<String>> {
        let attributes = self.attributes(vec![QueueAttributeName::RedrivePolicy]).await?;
        let policy = attributes.into_iter().find(|(name, _)| *name == QueueAttributeName::RedrivePolicy);
        let policy: Option<RedrivePolicy> =
            policy.map(|(_, json)| serde_json::from_str(&json)).transpose()?;
        Ok(policy.map(|policy| policy.dead_letter_target_arn))
    }

    async fn attributes(&self, names: Vec<QueueAttributeName>) -> Result<Vec<(QueueAttributeName, String)>> {
        let call = self.client.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(names));
        let reply = call.send().await;
        let reply = reply.map_err(|error| anyhow!("{}: {}", self.url, reason(&error)))?;
        Ok(reply.attributes.unwrap_or_default().into_iter().collect())
    }
}

/// The result of each entry of a batch. The id of an entry is its index. An entry that the reply does not mention has
/// failed.
fn results_by_index<'a>(
    count: usize,
    successful: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Result<(), String>> {
    let mut results = vec![Err("the reply does not mention it".to_owned()); count];
    let successful = successful.map(|id| (id, Ok(())));
    let failed = failed.iter().map(|entry| {
        let reason = entry.message.as_ref().unwrap_or(&entry.code);
        (entry.id.as_str(), Err(reason.clone()))
    });
    for (id, result) in successful.chain(failed) {
        if let Some(place) = id.parse().ok().and_then(|index: usize| results.get_mut(index)) {
            *place = result;
        }
    }
    results
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
