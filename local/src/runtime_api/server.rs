//! The endpoints. They keep no state: what the function says goes to [`Function`](super::Function), and
//! `/next` waits for what it answers.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};

/// Largest response that Lambda takes.
const RESPONSE_LIMIT: usize = 6 * 1024 * 1024;
const EXTENSION: &str = "00000000-0000-4000-8000-000000000000";
const ARN: &str = "arn:aws:lambda:ap-northeast-2:123456789012:function:reservation-worker";

/// What a function says to the Runtime API.
#[derive(Debug)]
pub(super) enum Ask {
    Next { at: Instant, invoke: oneshot::Sender<Invocation> },
    Answer(Answer),
    InitError(Bytes),
    ExtensionNext,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) request_id: String,
    pub(super) response: Result<Bytes, Bytes>,
}

#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) deadline_ms: u128,
    pub(super) trace_id: String,
    pub(super) payload: Bytes,
}

impl IntoResponse for Invocation {
    fn into_response(self) -> Response {
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("lambda-runtime-aws-request-id", self.request_id),
            ("lambda-runtime-deadline-ms", self.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", ARN.to_owned()),
            ("lambda-runtime-trace-id", self.trace_id),
        ];
        (headers, self.payload).into_response()
    }
}

type Asks = mpsc::UnboundedSender<Ask>;

pub(super) fn routes(asks: Asks) -> Router {
    let runtime = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{request_id}/response", post(response))
        .route("/invocation/{request_id}/error", post(error))
        .route("/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(RESPONSE_LIMIT));
    let extensions =
        Router::new().route("/register", post(register)).route("/event/next", get(extension_next));
    Router::new()
        .nest("/2018-06-01/runtime", runtime)
        .nest("/2020-01-01/extension", extensions)
        .with_state(asks)
}

async fn register(headers: HeaderMap) -> Response {
    if !headers.contains_key("lambda-extension-name") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    ([("lambda-extension-identifier", EXTENSION)], "{}").into_response()
}

/// An extension that asked for no events is told of none.
async fn extension_next(State(asks): State<Asks>, headers: HeaderMap) -> StatusCode {
    if headers.get("lambda-extension-identifier").is_none_or(|id| id != EXTENSION) {
        return StatusCode::FORBIDDEN;
    }
    _ = asks.send(Ask::ExtensionNext);
    std::future::pending().await
}

async fn next(State(asks): State<Asks>) -> Response {
    let (invoke, invoked) = oneshot::channel();
    _ = asks.send(Ask::Next { at: Instant::now(), invoke });
    match invoked.await {
        Ok(invocation) => invocation.into_response(),
        Err(_dropped) => StatusCode::GONE.into_response(),
    }
}

async fn response(State(asks): State<Asks>, Path(request_id): Path<String>, body: Bytes) -> StatusCode {
    tell(&asks, Ask::Answer(Answer { request_id, response: Ok(body) }))
}

async fn error(State(asks): State<Asks>, Path(request_id): Path<String>, body: Bytes) -> StatusCode {
    tell(&asks, Ask::Answer(Answer { request_id, response: Err(body) }))
}

async fn init_error(State(asks): State<Asks>, body: Bytes) -> StatusCode {
    tell(&asks, Ask::InitError(body))
}

fn tell(asks: &Asks, ask: Ask) -> StatusCode {
    match asks.send(ask) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_gone) => StatusCode::GONE,
    }
}
