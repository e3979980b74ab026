//! The JSON of an event exactly as the producers send it: no rules here (contract section 2).

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::ParseError;

/// The outside of every shape.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "detail-type")]
    pub(super) detail_type: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
    /// Any JSON: a bad trace id must not cost the event.
    pub(super) trace_id: Option<serde_json::Value>,
    #[serde(borrow)]
    pub(super) detail: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a RawValue>,
}

/// The facts that the workflows use; those that no workflow uses are not read.
#[derive(Deserialize)]
pub(super) struct Fields {
    pub(super) reservation_id: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) seat_ids: Option<Vec<String>>,
    pub(super) qty: Option<i64>,
    pub(super) quantity: Option<i64>,
    pub(super) payment_intent_id: Option<String>,
    pub(super) payment_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) error_code: Option<String>,
    /// The payment simulator's own type.
    pub(super) event_type: Option<String>,
    /// The payment simulator's status.
    pub(super) status: Option<String>,
}

/// Reads a JSON object; `prefix` is the path of `json` in the body, empty or with a dot at its end.
pub(super) fn object<'a, T: Deserialize<'a>>(prefix: &str, json: &'a str) -> Result<T, ParseError> {
    if !json.trim_ascii_start().starts_with('{') {
        let path = prefix.strip_suffix('.').unwrap_or("body");
        return Err(ParseError::new(path, "is not a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| match error.classify() {
        Category::Data => wrong_field::<T>(prefix, json),
        _ => ParseError::new(
            "body",
            format!(
                "is not JSON from line {} column {} on",
                error.line(),
                error.column()
            ),
        ),
    })
}

/// Reads a second time to learn which field it is: the first, without a path, is the fast one.
fn wrong_field<'a, T: Deserialize<'a>>(prefix: &str, json: &'a str) -> ParseError {
    let mut json = serde_json::Deserializer::from_str(json);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        return ParseError::new("body", "cannot be read");
    };
    let message = error.inner().to_string();
    if let Some((_, field)) = message.split_once("duplicate field `") {
        let field = field.split('`').next().unwrap_or_default();
        return ParseError::new(format!("{prefix}{field}"), "occurs twice");
    }
    ParseError::new(format!("{prefix}{}", error.path()), expectation(&message))
}

/// serde's message repeats the value, which is the producer's; only what was expected is ours.
fn expectation(message: &str) -> &'static str {
    let expected = message
        .rsplit_once(", expected ")
        .map_or("", |(_, expected)| expected);
    match expected.split(" at line ").next() {
        Some("a string") => "is not a string",
        Some("i64") => "is not a whole number",
        Some("a sequence") => "is not a list",
        _ => "has the wrong type",
    }
}
