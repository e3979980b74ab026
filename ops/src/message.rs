//! A letter as the queue stores it. In this form it is sent again, written to a file, or passed to the worker's parser.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files;

/// The message attributes that EventBridge and the Scheduler add to an event that they could not deliver.
const DELIVERY_FAILURE: [&str; 7] = [
    "ERROR_CODE",
    "ERROR_MESSAGE",
    "EXHAUSTED_RETRY_CONDITION",
    "RETRY_ATTEMPTS",
    "RULE_ARN",
    "SCHEDULE_ARN",
    "TARGET_ARN",
];

/// A message with everything that a queue stores about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMessage {
    pub(crate) message_id: String,
    pub(crate) body: String,
    /// The system attributes, such as `SentTimestamp` and `MessageGroupId`.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) message_attributes: BTreeMap<String, MessageAttribute>,
}

/// A message attribute that the producer set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageAttribute {
    data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

impl From<Message> for StoredMessage {
    fn from(message: Message) -> Self {
        let attributes = message.attributes.unwrap_or_default().into_iter();
        let message_attributes = message.message_attributes.unwrap_or_default().into_iter();
        Self {
            message_id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            attributes: attributes.map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
            message_attributes: message_attributes.map(|(name, value)| (name, value.into())).collect(),
        }
    }
}

impl From<MessageAttributeValue> for MessageAttribute {
    fn from(value: MessageAttributeValue) -> Self {
        Self {
            data_type: value.data_type,
            string_value: value.string_value,
            binary_value: value.binary_value.map(|blob| BASE64.encode(blob)),
        }
    }
}

impl StoredMessage {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// When it was sent, in milliseconds since 1970.
    pub(crate) fn sent(&self) -> Option<u64> {
        self.attribute("SentTimestamp")?.parse().ok()
    }

    /// A message attribute, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.message_attributes.get(name)?.string_value.as_deref()
    }

    /// Removes the message attributes that EventBridge and the Scheduler added to an event that they could not deliver.
    pub(crate) fn remove_delivery_failure(&mut self) {
        self.message_attributes.retain(|name, _| !DELIVERY_FAILURE.contains(&name.as_str()));
    }

    /// The SHA-256 digest of the body, in hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        files::sha256(self.body.as_bytes())
    }

    /// The record with which Lambda would deliver the message from the queue `queue_arn`.
    pub(crate) fn record(&self, queue_arn: &str) -> Value {
        let message_attributes = self.message_attributes.iter().map(|(name, attribute)| {
            let mut value = json!({
                "dataType": attribute.data_type, "stringListValues": [], "binaryListValues": [],
            });
            if let Some(text) = &attribute.string_value {
                value["stringValue"] = json!(text);
            }
            if let Some(binary) = &attribute.binary_value {
                value["binaryValue"] = json!(binary);
            }
            (name.clone(), value)
        });
        json!({
            "messageId": self.message_id,
            "body": self.body,
            "attributes": self.attributes,
            "messageAttributes": message_attributes.collect::<Map<_, _>>(),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn,
            "awsRegion": queue_arn.split(':').nth(3),
        })
    }

    /// Adds the message to a call: its body, message attributes, trace header and group. `for_fifo` are the message
    /// group and the deduplication id that a FIFO queue requires; `None` for a standard queue.
    pub(crate) fn add_to(
        &self,
        call: SendMessageFluentBuilder,
        for_fifo: Option<(&str, String)>,
    ) -> Result<SendMessageFluentBuilder> {
        let call = call.message_body(&self.body);
        let mut call = match for_fifo {
            Some((group, id)) => call.message_group_id(group).message_deduplication_id(id),
            None => call.set_message_group_id(self.attribute("MessageGroupId").map(str::to_owned)),
        };
        for (name, attribute) in &self.message_attributes {
            call = call.message_attributes(name, attribute.to_sqs()?);
        }
        if let Some(header) = self.attribute("AWSTraceHeader") {
            let value = MessageSystemAttributeValue::builder().data_type("String").string_value(header);
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            call = call.message_system_attributes(name, value.build()?);
        }
        Ok(call)
    }
}

impl MessageAttribute {
    fn to_sqs(&self) -> Result<MessageAttributeValue> {
        let binary = self.binary_value.as_ref().map(|text| BASE64.decode(text)).transpose();
        let binary = binary.context("a binary message attribute is not base64")?;
        Ok(MessageAttributeValue::builder()
            .data_type(&self.data_type)
            .set_string_value(self.string_value.clone())
            .set_binary_value(binary.map(Blob::new))
            .build()?)
    }
}
