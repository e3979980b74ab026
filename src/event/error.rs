//! Why a body is not an event.

use std::borrow::Cow;

use super::event_type::EventType;

/// A body that was not understood: the path of the field and the reason. It never contains text of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ParseError {
    pub(super) path: String,
    pub(super) reason: Cow<'static, str>,
    /// The type of the event, if it could be read.
    pub event_type: Option<EventType>,
    /// The producer's `trace_id`, unchecked, if it could be read.
    pub trace_id: Option<String>,
}

impl ParseError {
    pub(super) fn new(path: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { path: path.into(), reason: reason.into(), event_type: None, trace_id: None }
    }
}
