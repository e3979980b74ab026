//! What the function's response means for the messages of its batch, as Lambda reads it with
//! `ReportBatchItemFailures`.

use std::collections::HashSet;

use serde_json::Value;

/// What becomes of the messages of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Message ids to delete, in the order of the batch.
    pub deleted: Vec<String>,
    /// Message ids that come again when their visibility time-out is over, in the order of the batch.
    pub returned: Vec<String>,
    /// Why the response as a whole counts as a failure; then nothing is deleted.
    pub failure: Option<&'static str>,
}

/// Reads the response (`Err` is a function error) to a batch of these message ids.
///
/// An empty or null response and an empty, null or missing list delete everything. A function error, a
/// response of another shape, and an identifier that is missing, null, empty or of no message of the batch
/// delete nothing.
pub fn delivered(response: &Result<Value, Value>, batch: &[&str]) -> Verdict {
    let (failed, failure) = match response {
        Ok(response) => match failures(response, batch) {
            Ok(failed) => (failed, None),
            Err(failure) => (batch.iter().copied().collect(), Some(failure)),
        },
        Err(_) => (batch.iter().copied().collect(), Some("the function returned an error")),
    };
    let (returned, deleted) =
        batch.iter().map(|id| (*id).to_owned()).partition(|id| failed.contains(id.as_str()));
    Verdict { deleted, returned, failure }
}

fn failures<'a>(response: &'a Value, batch: &[&str]) -> Result<HashSet<&'a str>, &'static str> {
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
            Some(id) if !batch.contains(&id) => Err("an itemIdentifier is of no message of the batch"),
            Some(id) => Ok(id),
        })
        .collect()
}
