//! One record of an SQS event.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::sqs::{SqsMessage, SqsMessageAttribute};

/// A message as Lambda received it from the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Id of the message, never empty. It is the `itemIdentifier` of a batch item failure.
    pub message_id: String,
    /// The handle of this receive of the message. The queue requires it to change the visibility time-out.
    pub receipt_handle: Option<String>,
    /// ARN of the queue.
    pub queue_arn: Option<String>,
    /// The body as text; `None` if the event had none.
    pub body: Option<String>,
    /// `ApproximateReceiveCount`: how often the message was received, including this time; 1 if the event does not
    /// say.
    pub receive_count: u32,
    /// `SentTimestamp`: when the message was sent to the queue; `None` if the event does not say.
    pub sent: Option<SystemTime>,
    /// `MessageGroupId` on a FIFO queue. `None` on a standard queue, where a group does not order messages.
    pub fifo_group: Option<String>,
    /// System attribute `AWSTraceHeader` (X-Ray).
    pub xray_trace_header: Option<String>,
    /// The message attributes that the producer set.
    pub message_attributes: HashMap<String, SqsMessageAttribute>,
}

/// A record that could not be returned to the queue. No work may be done on a batch that contains one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Records[{index}].{field}: {reason}")]
pub struct UnusableRecord {
    index: usize,
    field: &'static str,
    reason: &'static str,
}

impl Record {
    /// Reads the record at `index` of the batch.
    ///
    /// # Errors
    ///
    /// [`UnusableRecord`] when it is not an SQS record or has no message id.
    pub fn new(index: usize, mut message: SqsMessage) -> Result<Self, UnusableRecord> {
        let unusable = |field, reason| UnusableRecord { index, field, reason };
        if message.event_source.is_some_and(|source| source != "aws:sqs") {
            return Err(unusable("eventSource", "is not aws:sqs"));
        }
        let message_id = message
            .message_id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| unusable("messageId", "is missing or empty"))?;
        let is_fifo = message.event_source_arn.as_ref().is_some_and(|arn| arn.ends_with(".fifo"));
        let group = message.attributes.remove("MessageGroupId");
        let receive_count =
            message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        let sent_ms = message.attributes.get("SentTimestamp").and_then(|sent| sent.parse().ok());
        Ok(Self {
            message_id,
            receipt_handle: message.receipt_handle,
            queue_arn: message.event_source_arn,
            body: message.body,
            receive_count: receive_count.unwrap_or(1),
            sent: sent_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
            fifo_group: is_fifo.then(|| group.unwrap_or_default()),
            xray_trace_header: message.attributes.remove("AWSTraceHeader"),
            message_attributes: message.message_attributes,
        })
    }

    /// The message attribute `name`, if it is text.
    pub fn text_attribute(&self, name: &str) -> Option<&str> {
        self.message_attributes.get(name)?.string_value.as_deref()
    }

    /// Whether the queue moves the message to its dead-letter queue if it is returned: SQS does so after
    /// `max_receives` receives.
    pub fn is_last_receive(&self, max_receives: u32) -> bool {
        self.receive_count >= max_receives
    }
}
