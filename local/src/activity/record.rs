//! A completed record, with the attempts of calls that were made for it.

use aws_smithy_types::date_time::{DateTime, Format};
use serde::{Deserialize, Serialize};

/// The message of the summary line of a record whose receives are used up.
pub(crate) const DEAD_LETTER: &str = "record is a dead letter";

/// The outcome of a delivery to which the function gave no response. It is not an outcome of the function, which has
/// possibly logged nothing about this delivery.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// A completed record: its summary line, and the attempts of calls that were logged before it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    /// The number of the record, counted from 1.
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// Whether the receives of the message are used up.
    pub(crate) is_dead: bool,
    /// The process that handled the record. `None`: no process could be started.
    pub(crate) process: Option<u32>,
    /// The outcome that its sample event expects, if it is the first delivery of one.
    pub(crate) expected: Option<String>,
    pub(crate) call_attempts: Vec<Attempt>,
}

/// The fields of a summary line (`docs/telemetry.md`), or what is known about an interrupted delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The time at which the record ended, in RFC 3339.
    #[serde(rename(deserialize = "timestamp"))]
    pub(crate) time: String,
    pub(crate) message: String,
    pub(crate) message_id: String,
    #[serde(default)]
    pub(crate) event_type: String,
    pub(crate) reservation_id: Option<String>,
    pub(crate) event_id: Option<String>,
    /// The receive count of the message; not an attempt of a call.
    #[serde(default)]
    pub(crate) attempt: u32,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) reason_code: Option<String>,
    /// What a person must do. A record has it only if its receives are used up: the queue delivers all other returned
    /// records again.
    pub(crate) advice: Option<String>,
    pub(crate) duration_ms: f64,
    pub(crate) trace_id: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// One attempt of a call.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attempt {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) status: String,
    pub(crate) result: String,
    /// The time from the start of the record to the start of the attempt.
    pub(crate) start_ms: f64,
    pub(crate) duration_ms: f64,
}

/// The fields of the debug line about an attempt that has ended.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AttemptLine {
    pub(crate) timestamp: String,
    pub(crate) message_id: String,
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) status: String,
    pub(crate) result: String,
    pub(crate) duration_ms: f64,
}

impl AttemptLine {
    /// `record_began` and the result of `time` are in milliseconds since 1970.
    pub(crate) fn attempt(self, record_began: f64) -> Attempt {
        let start_ms = (time(&self.timestamp) - self.duration_ms - record_began).max(0.0);
        let Self { service, method, status, result, duration_ms, .. } = self;
        Attempt { service, method, status, result, start_ms, duration_ms }
    }
}

impl Summary {
    /// The time at which the record began, in milliseconds since 1970.
    pub(crate) fn began(&self) -> f64 {
        time(&self.time) - self.duration_ms
    }
}

/// Milliseconds since 1970 of a time in RFC 3339; 0 if the text is no such time.
fn time(text: &str) -> f64 {
    DateTime::from_str(text, Format::DateTime).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
