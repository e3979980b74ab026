//! What the response of the function means for the messages of its batch, by the rules of Lambda for
//! `ReportBatchItemFailures`.

use std::collections::HashSet;

use serde_json::Value;

/// What happens to the messages of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchResult {
    /// The ids of the messages to delete, in the order of the batch.
    pub deleted: Vec<String>,
    /// The ids of the messages that stay in the queue until their visibility time-out, in the order of the
    /// batch.
    pub returned: Vec<String>,
    /// The reason why the whole batch has failed. No message is deleted then.
    pub failure: Option<&'static str>,
}

/// Decides what happens to the messages of a batch. `response` is the response of the function, or its error.
/// `message_ids` are the ids of the messages in the batch.
///
/// - All messages are deleted if the response is empty or null, or if its list is empty, null or missing.
/// - The listed messages are returned and the others are deleted if the list contains only ids of the batch.
/// - All messages are returned otherwise: after an error of the function, after a response with another
///   shape, and if an id in the list is missing, null, empty or not in the batch.
pub fn batch_result(response: &Result<Value, Value>, message_ids: &[&str]) -> BatchResult {
    let (failed, failure) = match response {
        Ok(response) => match failed_ids(response, message_ids) {
            Ok(failed) => (failed, None),
            Err(failure) => (message_ids.iter().copied().collect(), Some(failure)),
        },
        Err(_) => (message_ids.iter().copied().collect(), Some("the function returned an error")),
    };
    let (returned, deleted) =
        message_ids.iter().map(|id| (*id).to_owned()).partition(|id| failed.contains(id.as_str()));
    BatchResult { deleted, returned, failure }
}

fn failed_ids<'a>(response: &'a Value, message_ids: &[&str]) -> Result<HashSet<&'a str>, &'static str> {
    let list = match response {
        Value::Null => return Ok(HashSet::new()),
        Value::Object(fields) => fields.get("batchItemFailures").unwrap_or(&Value::Null),
        _ => return Err("the response is not an object"),
    };
    let items = match list {
        Value::Null => return Ok(HashSet::new()),
        Value::Array(items) => items,
        _ => return Err("batchItemFailures is not a list"),
    };
    items
        .iter()
        .map(|item| match item.get("itemIdentifier").and_then(Value::as_str) {
            None => Err("an itemIdentifier is missing, null or not a string"),
            Some("") => Err("an itemIdentifier is empty"),
            Some(id) if !message_ids.contains(&id) => Err("an itemIdentifier is not in the batch"),
            Some(id) => Ok(id),
        })
        .collect()
}
