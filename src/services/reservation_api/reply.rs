//! Reads a reply of the reservation API. Callers must not rely on a body (contract section 3).

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::{Response, StatusCode, header};
use serde_json::{Map, Value};

use super::error::{Error, Refusal};
use crate::call::AttemptOutcome;
use crate::reservation::{Ending, Id, Seats};

/// A body longer than this, in bytes, is treated as absent. It has room for about 3,000 named seats.
const LONGEST_BODY: usize = 64 * 1024;

/// A reservation as the API returns it, as far as the worker uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// How it ended; `None` while it is in `HOLD` or in a status that the worker does not know.
    pub ending: Option<Ending>,
    /// Whether it is in `HOLD`. The tool for dead letters needs this, because it makes no prediction for a reservation
    /// in an unknown status.
    pub is_on_hold: bool,
    /// The ticketed event, such as a concert.
    pub event_id: Option<Id>,
    /// The customer.
    pub user_id: Option<String>,
    /// The seats.
    pub seats: Option<Seats>,
}

impl Reservation {
    /// This reservation, with missing fields taken from `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            ending: self.ending.or(other.ending),
            is_on_hold: self.is_on_hold || other.is_on_hold,
            event_id: self.event_id.or(other.event_id),
            user_id: self.user_id.or(other.user_id),
            seats: self.seats.or(other.seats),
        }
    }
}

/// A reply with any status.
#[derive(PartialEq, Eq)]
pub struct Reply {
    pub(super) status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// Leaves out the body, which may name a customer.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    /// Reads the reply. An incomplete body is used as far as it was received. A body that is too long is treated as
    /// absent.
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

    /// The reservation in the body, if it is the requested one. Its fields are in `snake_case`, otherwise in
    /// `camelCase`. A field that cannot be read is treated as absent.
    pub fn reservation(&self, requested: &Id) -> Option<Reservation> {
        let body: Map<String, Value> = serde_json::from_slice(&self.body).ok()?;
        let text = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let names_another = |name| text(name).is_some_and(|id| id != requested.as_str());
        if names_another("reservation_id") || names_another("reservationId") {
            return None;
        }
        let quantity =
            body.get("quantity").and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok());
        let listed = body.get("seat_ids").filter(|seats| !seats.is_null()).or(body.get("seatIds"));
        Some(Reservation {
            ending: text("status").and_then(ending),
            is_on_hold: text("status") == Some("HOLD"),
            event_id: text("event_id").or(text("eventId")).and_then(|id| Id::new(id).ok()),
            user_id: text("user_id").or(text("userId")).map(str::to_owned),
            seats: seat_ids(listed).and_then(|ids| Seats::new(ids, quantity)),
        })
    }

    /// How the reservation had ended, if the reply refuses the update for that reason.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.refusal().ending()
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// The outcome of the attempt, as far as the reply alone shows.
    pub(super) fn outcome(&self) -> AttemptOutcome {
        if self.status.is_success() {
            AttemptOutcome::Success
        } else if self.is_conflict() || self.ending().is_some() {
            AttemptOutcome::Conflict
        } else {
            AttemptOutcome::of(&self.to_error())
        }
    }

    /// The error of a reply that refuses the request.
    pub(super) fn to_error(&self) -> Error {
        Error::Refused(self.refusal())
    }

    fn refusal(&self) -> Refusal {
        let error = self.body_error();
        let word = |text: &Value| text.as_str().filter(|text| is_word(text)).map(str::to_owned);
        Refusal {
            status: self.status,
            code: word(&error["code"]),
            trace_id: word(&error["trace_id"]).or_else(|| word(&error["traceId"])),
            retry_after: self.retry_after,
            is_from_api: error["code"].is_string(),
        }
    }

    /// The `error` of the body; `null` if there is none.
    fn body_error(&self) -> Value {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.get_mut("error").map(Value::take).unwrap_or_default()
    }
}

/// The listed seats: empty if there is no list, `None` if the list cannot be understood.
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

/// Whether a text has the form of a code or an id, which may appear in a log line. Free text may not.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// `Retry-After` in either form, seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok()
}
