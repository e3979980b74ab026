//! One SQS record with a known identity (contract section 5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::sqs::SqsMessage;

/// What the worker knows of a message besides what its body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The message's id, never empty: it is what a batch item failure names.
    pub message_id: String,
    /// What the queue knows this receive of the message by.
    pub receipt_handle: Option<String>,
    /// The queue's ARN.
    pub queue_arn: Option<String>,
    /// The body, a plain string; absent if the event had none.
    pub body: Option<String>,
    /// How often the message was received, this time included; 1 if the queue did not say.
    pub receive_count: u32,
    /// When it was sent to the queue, if the queue said.
    pub sent: Option<SystemTime>,
    /// The message group on a FIFO queue. A group on a standard queue only makes it fair, and is `None` here.
    pub fifo_group: Option<String>,
    /// Message attribute `traceparent` (W3C).
    pub traceparent: Option<String>,
    /// Message attribute `tracestate` (W3C).
    pub tracestate: Option<String>,
    /// System attribute `AWSTraceHeader` (X-Ray).
    pub xray_header: Option<String>,
}

/// A record that could not be returned to the queue, so that nothing may be done with the batch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Records[{place}].{field}: {reason}")]
pub struct UnusableRecord {
    place: usize,
    field: &'static str,
    reason: &'static str,
}

impl Record {
    /// Takes the record at `place` of the batch.
    ///
    /// # Errors
    ///
    /// [`UnusableRecord`] when it is not an SQS record or has no message id.
    pub fn new(place: usize, mut message: SqsMessage) -> Result<Self, UnusableRecord> {
        let unusable = |field, reason| UnusableRecord { place, field, reason };
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
        let mut text = |name| message.message_attributes.remove(name).and_then(|value| value.string_value);
        Ok(Self {
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
            message_id,
            receipt_handle: message.receipt_handle,
            queue_arn: message.event_source_arn,
            body: message.body,
            receive_count: receive_count.unwrap_or(1),
            sent: sent_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
            fifo_group: is_fifo.then(|| group.unwrap_or_default()),
            xray_header: message.attributes.remove("AWSTraceHeader"),
        })
    }

    /// Whether it goes to the dead-letter queue if it is returned: SQS moves it after `max_retries` receives.
    /// More of them come only where the queue allows more.
    pub fn is_last_receive(&self, max_retries: u32) -> bool {
        self.receive_count >= max_retries
    }
}
