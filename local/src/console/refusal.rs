//! The reply to a request that cannot be carried out.

use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The reason, as the page shows it.
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
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
