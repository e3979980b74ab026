//! What is sent to a queue.

use serde_json::Value;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its body.
    pub body: String,
    /// Its message group, for a FIFO queue; one for all when there is none.
    pub group: Option<String>,
}

impl From<String> for Outgoing {
    fn from(body: String) -> Self {
        Self { body, group: None }
    }
}

impl From<&str> for Outgoing {
    fn from(body: &str) -> Self {
        body.to_owned().into()
    }
}

impl From<&Value> for Outgoing {
    fn from(body: &Value) -> Self {
        body.to_string().into()
    }
}

/// Group and body.
impl<G: Into<String>, B: Into<String>> From<(G, B)> for Outgoing {
    fn from((group, body): (G, B)) -> Self {
        Self { body: body.into(), group: Some(group.into()) }
    }
}
