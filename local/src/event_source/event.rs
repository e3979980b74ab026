//! Converts received messages to the event that Lambda sends to the function.

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// Lambda's limit for the payload of a synchronous invocation, in bytes.
pub(super) const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;
/// The size of an event without records, in bytes.
const EMPTY_EVENT: usize = r#"{"Records":[]}"#.len();

/// A message that was received and not yet deleted or returned.
#[derive(Debug)]
pub(super) struct ReceivedMessage {
    pub(super) message_id: String,
    pub(super) receipt_handle: String,
    /// The time at which the message was sent, in milliseconds since 1970.
    pub(super) sent: Option<u64>,
    /// The record of the event, as JSON.
    record: String,
}

impl ReceivedMessage {
    pub(super) fn new(message: Message, queue_arn: &str) -> Self {
        let record = record(&message, queue_arn).to_string();
        let attributes = message.attributes.unwrap_or_default();
        let sent = attributes.get(&MessageSystemAttributeName::SentTimestamp);
        Self {
            sent: sent.and_then(|sent| sent.parse().ok()),
            message_id: message.message_id.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            record,
        }
    }

    /// How often the message was received, this time included.
    pub(super) fn receive_count(&self) -> u32 {
        let count = &self.json()["attributes"]["ApproximateReceiveCount"];
        count.as_str().and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// The reservation id in the body, at any depth of its objects. The body may be a JSON string that contains the event.
    pub(super) fn reservation_id(&self) -> Option<String> {
        let mut body: Value = serde_json::from_str(self.json()["body"].as_str()?).ok()?;
        if let Some(text) = body.as_str() {
            body = serde_json::from_str(text).ok()?;
        }
        find_reservation_id(&body).map(str::to_owned)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.record).unwrap_or_default()
    }

    /// The size of the record in an event, with its comma, in bytes.
    fn size(&self) -> usize {
        self.record.len() + 1
    }
}

/// Splits the messages, in order, into batches of at most `limit` messages and 6 MiB. One message is never
/// larger than that.
pub(super) fn batches(messages: Vec<ReceivedMessage>, limit: usize) -> Vec<Vec<ReceivedMessage>> {
    let mut batches = Vec::<Vec<ReceivedMessage>>::new();
    let mut room = 0;
    for message in messages {
        let size = message.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < limit && size <= room => batch.push(message),
            _ => {
                room = PAYLOAD_LIMIT - EMPTY_EVENT;
                batches.push(vec![message]);
            }
        }
        room = room.saturating_sub(size);
    }
    batches
}

/// The size of an event with these messages, in bytes.
pub(super) fn size(messages: &[ReceivedMessage]) -> usize {
    EMPTY_EVENT + messages.iter().map(ReceivedMessage::size).sum::<usize>()
}

/// The event with these messages, as JSON.
pub(super) fn payload(messages: &[ReceivedMessage]) -> String {
    let records: Vec<_> = messages.iter().map(|message| message.record.as_str()).collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

fn find_reservation_id(value: &Value) -> Option<&str> {
    let fields = value.as_object()?;
    let named = ["reservation_id", "reservationId"].iter().find_map(|name| fields.get(*name)?.as_str());
    named.or_else(|| fields.values().find_map(find_reservation_id))
}

fn record(message: &Message, queue_arn: &str) -> Value {
    let attributes: Map<_, _> = message
        .attributes
        .iter()
        .flatten()
        .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
        .collect();
    let message_attributes: Map<_, _> = message
        .message_attributes
        .iter()
        .flatten()
        .map(|(name, value)| (name.clone(), message_attribute(value)))
        .collect();
    let mut record = json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body.as_deref().unwrap_or_default(),
        "attributes": attributes,
        "messageAttributes": message_attributes,
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(':').nth(3),
    });
    if let Some(md5) = &message.md5_of_message_attributes {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    record
}

fn message_attribute(value: &MessageAttributeValue) -> Value {
    let binaries = value.binary_list_values().iter().map(|blob| BASE64.encode(blob));
    let mut attribute = json!({
        "stringListValues": value.string_list_values(),
        "binaryListValues": binaries.collect::<Vec<_>>(),
        "dataType": value.data_type,
    });
    if let Some(text) = value.string_value() {
        attribute["stringValue"] = json!(text);
    }
    if let Some(blob) = value.binary_value() {
        attribute["binaryValue"] = json!(BASE64.encode(blob));
    }
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: usize) -> ReceivedMessage {
        with_record("x".repeat(bytes))
    }

    fn with_record(record: String) -> ReceivedMessage {
        ReceivedMessage { message_id: String::new(), receipt_handle: String::new(), sent: None, record }
    }

    #[test]
    fn the_reservation_is_found_in_each_shape_of_an_event() {
        for (body, expected) in [
            (r#"{"type":"t","reservation_id":"r1"}"#, Some("r1")),
            (r#"{"id":"e","detail":{"user":{"id":"u"},"reservationId":"r1"}}"#, Some("r1")),
            (r#""{\"detail\":{\"reservation_id\":\"r1\"}}""#, Some("r1")),
            (r#"{"payload":{"reservation_id":7}}"#, None),
            (r#"["reservation_id"]"#, None),
            ("nonsense", None),
        ] {
            let message = with_record(json!({ "body": body }).to_string());
            assert_eq!(message.reservation_id().as_deref(), expected, "{body}");
        }
    }

    fn sizes(batches: &[Vec<ReceivedMessage>]) -> Vec<usize> {
        batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_has_at_most_the_requested_number_of_messages() {
        let messages = (0..25).map(|_| received(1)).collect();
        assert_eq!(sizes(&batches(messages, 10)), [10, 10, 5]);
    }

    #[test]
    fn a_batch_has_at_most_six_mebibytes() {
        let messages = (0..13).map(|_| received(1024 * 1024 - 4)).collect();
        let batches = batches(messages, 100);
        assert_eq!(sizes(&batches), [6, 6, 1]);
        assert!(batches.iter().all(|batch| size(batch) <= PAYLOAD_LIMIT));
        assert!(batches.iter().all(|batch| payload(batch).len() <= size(batch)));
    }
}
