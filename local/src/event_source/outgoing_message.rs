//! A message before it is sent.

use std::collections::BTreeMap;

use serde_json::Value;

/// A message to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The body.
    pub body: String,
    /// The message group in a FIFO queue. All messages without a group are in the group `all`.
    pub group: Option<String>,
    /// The message attributes of type `String`, by name.
    pub attributes: BTreeMap<String, String>,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<String>,
}

impl From<String> for OutgoingMessage {
    fn from(body: String) -> Self {
        Self { body, ..Self::default() }
    }
}

impl From<&str> for OutgoingMessage {
    fn from(body: &str) -> Self {
        body.to_owned().into()
    }
}

impl From<&Value> for OutgoingMessage {
    fn from(body: &Value) -> Self {
        body.to_string().into()
    }
}

/// A pair of message group and body.
impl<G: Into<String>, B: Into<String>> From<(G, B)> for OutgoingMessage {
    fn from((group, body): (G, B)) -> Self {
        Self { body: body.into(), group: Some(group.into()), ..Self::default() }
    }
}
