//! The reservation API over HTTP (contract section 3).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::calls::Operation;
use crate::capacity::wait_until_finished;
use crate::faults::Effect;
use crate::lock::locked;
use crate::reservations::{ApiError, Reservation};
use crate::server::Connection;
use crate::state::SharedState;

pub(crate) fn routes(state: Arc<SharedState>) -> Router {
    Router::new().route("/internal/reservations/{id}", get(read).patch(update)).with_state(state)
}

async fn read(
    State(state): State<Arc<SharedState>>,
    Path(id): Path<String>,
    Extension(connection): Extension<Connection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let request =
        ApiRequest { operation: Operation::ReadReservation, id: &id, uri, headers, body: Value::Null };
    respond(&state, request, &connection, || locked(&state.reservations).read(&id)).await
}

async fn update(
    State(state): State<Arc<SharedState>>,
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
    let request = ApiRequest { operation: Operation::UpdateStatus, id: &id, uri, headers, body: recorded };
    let work = || {
        let update =
            serde_json::from_slice(&body).map_err(|error| ApiError::InvalidArgument(error.to_string()))?;
        locked(&state.reservations).update(&id, &key, update)
    };
    respond(&state, request, &connection, work).await
}

/// A request, as the call log contains it.
struct ApiRequest<'a> {
    operation: Operation,
    id: &'a str,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

/// Records the request, applies a fault if there is one, and otherwise performs `work`. Replies when the service has
/// finished the request.
async fn respond(
    state: &SharedState,
    request: ApiRequest<'_>,
    connection: &Connection,
    work: impl Fn() -> Result<Reservation, ApiError>,
) -> Response {
    let ApiRequest { operation, id, uri, headers, body } = request;
    let mut call = state.calls.add(operation, id, uri.path(), &headers, body);
    let trace_id = headers.get("x-trace-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let work = || ApiReply::new(work(), trace_id);
    let is_refused = locked(&state.required_token).as_ref().is_some_and(|required| {
        headers.get(header::AUTHORIZATION).is_none_or(|token| *token != format!("Bearer {required}"))
    });
    if is_refused {
        let reply = ApiReply::error(401, "UNAUTHENTICATED", "the token is missing or not valid", trace_id);
        call.set_reply(&reply.text);
        return reply.response;
    }
    let finished = state.request_queues.add(operation.service());
    let effect = locked(&state.faults).next_effect(operation, id);
    let reply = match effect {
        None => work(),
        Some(effect) => {
            let replace = |effect, reply| ApiReply::replaced(effect, reply, trace_id);
            effect.apply(&mut call, connection, work, replace).await
        }
    };
    wait_until_finished(finished).await;
    call.set_reply(&reply.text);
    reply.response
}

struct ApiReply {
    /// The short form for the call log.
    text: String,
    /// The body, if it is JSON.
    json: Option<Value>,
    response: Response,
}

impl ApiReply {
    fn new(result: Result<Reservation, ApiError>, trace_id: &str) -> Self {
        match result {
            Ok(reservation) => Self::with_json(200, json!(reservation)),
            Err(error) => {
                let (status, code) = error.status_and_code();
                Self::error(status, code, &error.to_string(), trace_id)
            }
        }
    }

    fn with_json(status: u16, json: Value) -> Self {
        Self { json: Some(json.clone()), ..Self::with_status(status, Json(json)) }
    }

    fn with_status(status: u16, body: impl IntoResponse) -> Self {
        // A fault can contain a number that is not an HTTP status. Such a fault results in 500.
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { text: code.as_str().to_owned(), json: None, response: (code, body).into_response() }
    }

    fn error(status: u16, code: &str, message: &str, trace_id: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message, "trace_id": trace_id}});
        let mut reply = Self::with_json(status, body);
        reply.text = format!("{} {code}", reply.text);
        reply
    }

    /// The reply of a call that a fault affects. `reply` is the reply of the operation, if it was performed.
    fn replaced(effect: Effect, reply: Option<Self>, trace_id: &str) -> Self {
        match (effect, reply) {
            (Effect::Http { status, code, retry_after, location, trace_id: own }, _) => {
                let trace_id = own.as_deref().unwrap_or(trace_id);
                let mut reply = match code {
                    Some(code) => Self::error(status, &code, Effect::MESSAGE, trace_id),
                    None => Self::with_status(status, Body::empty()),
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
                Self::with_status(status, ([(header::CONTENT_TYPE, content_type)], body))
            }
            (Effect::EmptyBody, Some(reply)) if reply.response.status().is_success() => {
                Self::with_status(200, Body::empty())
            }
            (Effect::Body { content_type, body }, Some(reply)) if reply.response.status().is_success() => {
                Self::with_status(200, ([(header::CONTENT_TYPE, content_type)], body))
            }
            (Effect::CamelCase, Some(Self { text, json: Some(json), response })) => {
                Self { text, ..Self::with_json(response.status().as_u16(), in_camel_case(json)) }
            }
            (_, Some(reply)) => reply,
            (_, None) => Self::with_status(500, Body::empty()),
        }
    }
}

/// The same JSON with every name of a field in camelCase.
fn in_camel_case(json: Value) -> Value {
    let rename = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(word.len().min(1));
            name + &initial.to_ascii_uppercase() + rest
        })
    };
    match json {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (rename(&name), in_camel_case(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}
