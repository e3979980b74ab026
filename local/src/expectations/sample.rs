//! A case as messages for a queue. It can be sent any number of times, because each copy has its own reservations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{Case, Given};
use crate::event_source::OutgoingMessage;
use crate::faults::Fault;
use crate::hold::Hold;

/// The messages of a case, and the state that the services must have before they are sent.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The state of the services before the messages.
    pub given: Given,
    /// In the order of the batch.
    pub messages: Vec<OutgoingMessage>,
    /// Whether the expected outcomes are those of a FIFO queue.
    pub is_fifo: bool,
    /// The expected event type and outcome of the first delivery of each message.
    pub expected: Vec<(String, String)>,
}

impl Case {
    /// The messages of this case. In every copy except for the first one, the number of the copy is appended to the ids
    /// of reservations and ticketed events.
    pub fn sample(&self, copy: usize) -> Sample {
        let suffix = if copy <= 1 { String::new() } else { format!(".{copy}") };
        let mut names = BTreeSet::new();
        for hold in &self.given.holds {
            names.extend([&hold.reservation_id, &hold.event_id]);
        }
        let renamed =
            |text: &str| names.iter().fold(text.to_owned(), |text, name| rename(&text, name, &suffix));
        let records = self.event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let arn = |record: &Value| record["eventSourceARN"].as_str().unwrap_or_default().to_owned();
        let given = Given {
            holds: self.given.holds.iter().map(|hold| renamed_hold(hold, &renamed)).collect(),
            statuses: self.given.statuses.iter().map(|(id, status)| (renamed(id), *status)).collect(),
            faults: self.given.faults.iter().map(|fault| renamed_fault(fault, &renamed)).collect(),
        };
        Sample {
            given,
            is_fifo: records.iter().any(|record| arn(record).ends_with(".fifo")),
            messages: records.iter().map(|record| message(record, &renamed)).collect(),
            expected: self.records.iter().map(|r| (r.event_type.clone(), r.outcome.clone())).collect(),
        }
    }
}

fn renamed_hold(hold: &Hold, renamed: &impl Fn(&str) -> String) -> Hold {
    let (reservation_id, event_id) = (renamed(&hold.reservation_id), renamed(&hold.event_id));
    Hold { reservation_id, event_id, ..hold.clone() }
}

fn renamed_fault(fault: &Fault, renamed: &impl Fn(&str) -> String) -> Fault {
    Fault { reservation_id: fault.reservation_id.as_deref().map(renamed), ..fault.clone() }
}

fn message(record: &Value, renamed: &impl Fn(&str) -> String) -> OutgoingMessage {
    let attributes = record["messageAttributes"].as_object().into_iter().flatten();
    let text = |value: &Value| value["stringValue"].as_str().map(str::to_owned);
    OutgoingMessage {
        body: renamed(record["body"].as_str().unwrap_or_default()),
        group: record["attributes"]["MessageGroupId"].as_str().map(str::to_owned),
        attributes: attributes.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
        trace_header: record["attributes"]["AWSTraceHeader"].as_str().map(str::to_owned),
    }
}

/// Appends the suffix to each occurrence of the id in the text. A longer id that begins with this id does not change.
fn rename(text: &str, id: &str, suffix: &str) -> String {
    let is_longer_id =
        |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || "._:-".contains(next));
    let mut parts = text.split(id);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, rest| text + id + if is_longer_id(rest) { "" } else { suffix } + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_id_is_renamed() {
        assert_eq!(
            rename(r#"{"a":"r1","b":"r12","c":"r1"}"#, "r1", ".2"),
            r#"{"a":"r1.2","b":"r12","c":"r1.2"}"#
        );
        assert_eq!(rename("r1", "r1", ".2"), "r1.2");
    }
}
