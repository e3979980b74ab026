//! The JSON of an event exactly as the producers send it, without any rule (contract section 2).
//!
//! Every value remains text until a rule needs it, so that a mistake in an unused field does no harm.

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::ParseError;

/// The JSON text of a value; `None` if it is absent or `null`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The outer object of every shape.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "detail-type")]
    pub(super) detail_type: Raw<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) event_type: Raw<'a>,
    #[serde(borrow)]
    pub(super) trace_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) detail: Raw<'a>,
    #[serde(borrow)]
    pub(super) payload: Raw<'a>,
}

/// The facts that the workflows use.
#[derive(Deserialize)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) reservation_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) event_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) seat_ids: Raw<'a>,
    #[serde(borrow)]
    pub(super) qty: Raw<'a>,
    #[serde(borrow)]
    pub(super) quantity: Raw<'a>,
    #[serde(borrow)]
    pub(super) payment_intent_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) payment_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) user_id: Raw<'a>,
    #[serde(borrow)]
    pub(super) error_code: Raw<'a>,
    #[serde(borrow)]
    pub(super) trace_id: Raw<'a>,
    /// The type that the payment simulator sends inside `detail`.
    #[serde(borrow)]
    pub(super) event_type: Raw<'a>,
    /// The status of the payment simulator.
    #[serde(borrow)]
    pub(super) status: Raw<'a>,
}

/// Reads a JSON object. `prefix` is the path of `json` in the body, empty or with a dot at its end.
pub(super) fn object<'a, T: Deserialize<'a>>(prefix: &str, json: &'a str) -> Result<T, ParseError> {
    if !json.trim_ascii_start().starts_with('{') {
        let path = prefix.strip_suffix('.').unwrap_or("body");
        return Err(ParseError::new(path, "is not a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| {
        match (error.classify(), duplicate_field(&error.to_string())) {
            (Category::Data, Some(field)) => ParseError::new(format!("{prefix}{field}"), "occurs twice"),
            _ => {
                let reason = format!("is not JSON from line {} column {} on", error.line(), error.column());
                ParseError::new("body", reason)
            }
        }
    })
}

/// The field that occurs twice, if `message` is the error of serde for that.
fn duplicate_field(message: &str) -> Option<&str> {
    message.strip_prefix("duplicate field `")?.split('`').next()
}
