//! The JSON of an event exactly as the producers send it: no rules here (contract section 2).
//!
//! Every value stays as it is written until a rule asks for it, so that what nobody asks for cannot be wrong.

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::ParseError;

/// A value as it is written; absent if it is `null`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The outside of every shape.
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
    /// The payment simulator's own type.
    #[serde(borrow)]
    pub(super) event_type: Raw<'a>,
    /// The payment simulator's status.
    #[serde(borrow)]
    pub(super) status: Raw<'a>,
}

/// Reads a JSON object; `prefix` is the path of `json` in the body, empty or with a dot at its end.
pub(super) fn object<'a, T: Deserialize<'a>>(prefix: &str, json: &'a str) -> Result<T, ParseError> {
    if !json.trim_ascii_start().starts_with('{') {
        let path = prefix.strip_suffix('.').unwrap_or("body");
        return Err(ParseError::new(path, "is not a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| match (error.classify(), twice(&error.to_string())) {
        (Category::Data, Some(field)) => ParseError::new(format!("{prefix}{field}"), "occurs twice"),
        _ => {
            let reason = format!("is not JSON from line {} column {} on", error.line(), error.column());
            ParseError::new("body", reason)
        }
    })
}

/// The one fault of an object's members that can be found before their values are read.
fn twice(message: &str) -> Option<&str> {
    message.strip_prefix("duplicate field `")?.split('`').next()
}
