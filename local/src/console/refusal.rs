//! The reply to a request that cannot be carried out.

use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The reason, which the page shows as a sentence.
pub(super) struct Refusal(StatusCode, String);

impl Refusal {
    pub(super) fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    pub(super) fn invalid(reason: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_owned())
    }
}

impl<E: Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(StatusCode::CONFLICT, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": sentence(&self.1) }))).into_response()
    }
}

/// The text with a capital letter at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut rest = text.trim_end().chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.trim_end().ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", rest.as_str())
}
