//! The rows of JSON and CSV.

use std::time::SystemTime;

use serde::Serialize;

use crate::letter::Letter;
use crate::time::rfc3339;

/// A letter. CSV has no nested objects, so there are none.
#[derive(Debug, Default, Serialize)]
pub(super) struct LetterRow<'a> {
    message_id: &'a str,
    event_type: &'a str,
    reservation_id: Option<&'a str>,
    reason_code: &'a str,
    reason: Option<&'a str>,
    advice: Option<&'a str>,
    sent: String,
    first_receive: Option<String>,
    last_receive: Option<String>,
    age_seconds: u64,
    receives: u32,
    trace_id: Option<&'a str>,
    message_group_id: Option<&'a str>,
    body_sha256: &'a str,
    what_if: Option<&'static str>,
    what_if_reason_code: Option<&'a str>,
    what_if_why: Option<&'a str>,
}

/// A group of letters.
#[derive(Debug, Default, Serialize)]
pub(super) struct GroupRow {
    pub(super) group: String,
    pub(super) letters: usize,
    pub(super) oldest: String,
    pub(super) newest: String,
}

impl<'a> LetterRow<'a> {
    pub(super) fn new(letter: &'a Letter, now: SystemTime) -> Self {
        let (reason, what_if) = (letter.reason.as_ref(), letter.what_if.as_ref());
        Self {
            message_id: &letter.message_id,
            event_type: letter.event_type(),
            reservation_id: letter.reservation_id(),
            reason_code: letter.reason_code(),
            reason: reason.and_then(|reason| reason.text.as_deref()),
            advice: reason.and_then(|reason| reason.advice.as_deref()),
            sent: rfc3339(letter.sent),
            first_receive: letter.first_receive.map(rfc3339),
            last_receive: letter.last_receive.map(rfc3339),
            age_seconds: now.duration_since(letter.sent).unwrap_or_default().as_secs(),
            receives: letter.receives,
            trace_id: letter.trace_id.as_deref(),
            message_group_id: letter.group.as_deref(),
            body_sha256: &letter.sha256,
            what_if: what_if.map(|verdict| verdict.prediction.as_str()),
            what_if_reason_code: what_if.and_then(|verdict| verdict.reason_code.as_deref()),
            what_if_why: what_if.map(|verdict| verdict.why.as_str()),
        }
    }
}

impl GroupRow {
    /// The group of the letters that were sent at these times; `None` without letters.
    pub(super) fn new(group: String, sent: &[SystemTime]) -> Option<Self> {
        let (oldest, newest) = (sent.iter().min()?, sent.iter().max()?);
        Some(Self { group, letters: sent.len(), oldest: rfc3339(*oldest), newest: rfc3339(*newest) })
    }
}
