//! The reservation API on HTTP (contract section 3).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::calls::Operation;
use crate::faults::Effect;
use crate::net::Connection;
use crate::reservations::{Refusal, Reservation};
use crate::services::{Shared, locked};

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new().route("/internal/reservations/{id}", get(read).patch(update)).with_state(shared)
}

async fn read(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Extension(connection): Extension<Connection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { operation: Operation::ReadReservation, id: &id, uri, headers, body: Value::Null };
    shared.answer(asked, &connection, || locked(&shared.reservations).read(&id)).await
}

async fn update(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Extension(connection): Extension<Connection>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let recorded = match serde_json::from_slice(&body) {
        Ok(json) => json,
        Err(_) if body.is_empty() => Value::Null,
        Err(_) => String::from_utf8_lossy(&body).into(),
    };
    let asked = Asked { operation: Operation::UpdateStatus, id: &id, uri, headers, body: recorded };
    let work = || {
        let update =
            serde_json::from_slice(&body).map_err(|error| Refusal::InvalidArgument(error.to_string()))?;
        locked(&shared.reservations).update(&id, &key, update)
    };
    shared.answer(asked, &connection, work).await
}

struct Asked<'a> {
    operation: Operation,
    id: &'a str,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

impl Shared {
    async fn answer(
        &self,
        asked: Asked<'_>,
        connection: &Connection,
        work: impl Fn() -> Result<Reservation, Refusal>,
    ) -> Response {
        let Asked { operation, id, uri, headers, body } = asked;
        let mut call = self.calls.arrive(operation, id, uri.path(), &headers, body);
        let trace_id = headers.get("x-trace-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let work = || Reply::of(work(), trace_id);
        let effect = locked(&self.faults).meet(operation, id);
        let reply = match effect {
            None => work(),
            Some(effect) => {
                let instead = |effect, done| Reply::instead(effect, done, trace_id);
                effect.strike(&mut call, connection, work, instead).await
            }
        };
        call.answered(&reply.text);
        reply.response
    }
}

struct Reply {
    /// As it stands in the record of calls.
    text: String,
    response: Response,
}

impl Reply {
    fn of(done: Result<Reservation, Refusal>, trace_id: &str) -> Self {
        match done {
            Ok(reservation) => Self::plain(200, Json(reservation)),
            Err(refusal) => {
                let (status, code) = refusal.reply();
                Self::error(status, code, &refusal.to_string(), trace_id)
            }
        }
    }

    fn plain(status: u16, body: impl IntoResponse) -> Self {
        // A number that is no HTTP status, in a fault, is the fault's mistake: 500 shows it.
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { text: code.as_str().to_owned(), response: (code, body).into_response() }
    }

    fn error(status: u16, code: &str, message: &str, trace_id: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message, "trace_id": trace_id}});
        let mut reply = Self::plain(status, Json(body));
        reply.text = format!("{} {code}", reply.text);
        reply
    }

    fn instead(effect: Effect, done: Option<Self>, trace_id: &str) -> Self {
        match (effect, done) {
            (Effect::Http { status, code, retry_after, location, trace_id: own }, _) => {
                let own = own.as_deref().unwrap_or(trace_id);
                let mut reply = match code {
                    Some(code) => Self::error(status, &code, "asked for by a fault", own),
                    None => Self::plain(status, Body::empty()),
                };
                let extra = [(header::RETRY_AFTER, retry_after), (header::LOCATION, location)];
                for (name, value) in extra {
                    if let Some(value) = value.and_then(|value| value.parse().ok()) {
                        reply.response.headers_mut().insert(name, value);
                    }
                }
                reply
            }
            (Effect::HttpBody { status, content_type, body }, _) => {
                Self::plain(status, ([(header::CONTENT_TYPE, content_type)], body))
            }
            (Effect::EmptyBody, Some(done)) if done.response.status().is_success() => {
                Self::plain(200, Body::empty())
            }
            (Effect::Body { content_type, body }, Some(done)) if done.response.status().is_success() => {
                Self::plain(200, ([(header::CONTENT_TYPE, content_type)], body))
            }
            (_, Some(done)) => done,
            (_, None) => Self::plain(500, Body::empty()),
        }
    }
}
