//! What a reply of the reservation API says. A caller may not rely on a body.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::{Response, StatusCode, header};
use serde_json::{Map, Value};

use super::error::{Error, Refusal};
use crate::reservation::{Ending, Id, Seats};
use crate::telemetry::call::CallOutcome;

/// A longer body is not read on: no reply of the API is.
const LONGEST_BODY: usize = 64 * 1024;

/// A reservation as the API returns it, as far as the worker uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// How it ended; `None` while it is on `HOLD` or in a status that the worker does not know.
    pub ending: Option<Ending>,
    /// The ticketed event.
    pub event_id: Option<Id>,
    /// The customer.
    pub user_id: Option<String>,
    /// The seats.
    pub seats: Option<Seats>,
}

impl Reservation {
    /// This reservation, with what it lacks taken from the other.
    pub fn or(self, other: Self) -> Self {
        Self {
            ending: self.ending.or(other.ending),
            event_id: self.event_id.or(other.event_id),
            user_id: self.user_id.or(other.user_id),
            seats: self.seats.or(other.seats),
        }
    }
}

/// What came back.
#[derive(PartialEq, Eq)]
pub struct Reply {
    pub(super) status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// The body may name a customer.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    /// Reads the reply; a body that breaks off or is too long counts as none.
    pub(super) async fn read(mut response: Response, longest_retry_after: Duration) -> Self {
        let retry_after = retry_after(response.headers()).map(|wait| wait.min(longest_retry_after));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            if body.len() + chunk.len() > LONGEST_BODY {
                body.clear();
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Self { status: response.status(), retry_after, body }
    }

    /// The reservation in the body, if it is the one asked for. What cannot be read of it is unknown.
    pub fn reservation(&self, asked_for: &Id) -> Option<Reservation> {
        let body: Map<String, Value> = serde_json::from_slice(&self.body).ok()?;
        let text = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("reservation_id").is_some_and(|id| id != asked_for.as_str()) {
            return None;
        }
        let quantity =
            body.get("quantity").and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok());
        Some(Reservation {
            ending: text("status").and_then(ending),
            event_id: text("event_id").and_then(|id| Id::new(id).ok()),
            user_id: text("user_id").map(str::to_owned),
            seats: seat_ids(body.get("seat_ids")).and_then(|ids| Seats::new(ids, quantity)),
        })
    }

    /// How the reservation had ended, when the reply refuses the update for that.
    pub(super) fn ended(&self) -> Option<Ending> {
        if !self.status.is_client_error() || Refusal::is_transient(self.status) {
            return None;
        }
        match self.error()["code"].as_str()? {
            "RESERVATION_ALREADY_CONFIRMED" => Some(Ending::Confirmed),
            "RESERVATION_ALREADY_CANCELLED" => Some(Ending::Cancelled),
            "RESERVATION_EXPIRED" => Some(Ending::Expired),
            _ => None,
        }
    }

    /// What the reply says by itself.
    pub(super) fn outcome(&self) -> CallOutcome {
        if self.status.is_success() {
            CallOutcome::Success
        } else if self.status == StatusCode::CONFLICT || self.ended().is_some() {
            CallOutcome::Conflict
        } else if Refusal::is_transient(self.status) {
            CallOutcome::Transient
        } else {
            CallOutcome::Rejected
        }
    }

    pub(super) fn refused(&self) -> Error {
        let error = self.error();
        let word = |text: &Value| text.as_str().filter(|text| is_word(text)).map(str::to_owned);
        Error::Refused(Refusal {
            status: self.status,
            code: word(&error["code"]),
            trace_id: word(&error["trace_id"]).or_else(|| word(&error["traceId"])),
            retry_after: self.retry_after,
        })
    }

    /// The `error` of the body; `null` if there is none.
    fn error(&self) -> Value {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get_mut("error").map(Value::take).unwrap_or_default()
    }
}

/// The seats, none if there is no list of them; nothing if the list cannot be understood.
fn seat_ids(listed: Option<&Value>) -> Option<Vec<String>> {
    let Some(listed) = listed.filter(|value| !value.is_null()) else { return Some(Vec::new()) };
    let ids = listed.as_array()?.iter().map(|id| id.as_str().filter(|id| !id.is_empty()).map(str::to_owned));
    ids.collect()
}

fn ending(status: &str) -> Option<Ending> {
    match status {
        "CONFIRMED" => Some(Ending::Confirmed),
        "CANCELLED" => Some(Ending::Cancelled),
        "EXPIRED" => Some(Ending::Expired),
        _ => None,
    }
}

/// Fit for a log line: codes and ids are, free text is not.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok()
}
