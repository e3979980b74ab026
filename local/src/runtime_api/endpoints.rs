//! The HTTP endpoints of the Runtime API and of the Extensions API. They have no state. Each request becomes
//! a [`FunctionRequest`], and `/next` waits for the invocation.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};

/// The largest response that Lambda accepts, in bytes.
const RESPONSE_LIMIT: usize = 6 * 1024 * 1024;
const EXTENSION_ID: &str = "00000000-0000-4000-8000-000000000000";
const FUNCTION_ARN: &str = "arn:aws:lambda:ap-northeast-2:123456789012:function:reservation-worker";

/// A request from the function.
#[derive(Debug)]
pub(super) enum FunctionRequest {
    /// The function is ready for its next invocation.
    Next {
        at: Instant,
        invocation: oneshot::Sender<Invocation>,
    },
    Response(FunctionResponse),
    InitError(Bytes),
    /// An extension is ready.
    ExtensionNext,
}

#[derive(Debug)]
pub(super) struct FunctionResponse {
    pub(super) request_id: String,
    /// `Ok`: the body that the function posted to `/response`. `Err`: the body that it posted to `/error`.
    pub(super) body: Result<Bytes, Bytes>,
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
            ("lambda-runtime-invoked-function-arn", FUNCTION_ARN.to_owned()),
            ("lambda-runtime-trace-id", self.trace_id),
        ];
        (headers, self.payload).into_response()
    }
}

type Requests = mpsc::UnboundedSender<FunctionRequest>;

pub(super) fn routes(requests: Requests) -> Router {
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
        .with_state(requests)
}

async fn register(headers: HeaderMap) -> Response {
    if !headers.contains_key("lambda-extension-name") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    ([("lambda-extension-identifier", EXTENSION_ID)], "{}").into_response()
}

/// Never returns an event, because the extension registers for none.
async fn extension_next(State(requests): State<Requests>, headers: HeaderMap) -> StatusCode {
    if headers.get("lambda-extension-identifier").is_none_or(|id| id != EXTENSION_ID) {
        return StatusCode::FORBIDDEN;
    }
    _ = requests.send(FunctionRequest::ExtensionNext);
    std::future::pending().await
}

async fn next(State(requests): State<Requests>) -> Response {
    let (sender, invocation) = oneshot::channel();
    _ = requests.send(FunctionRequest::Next { at: Instant::now(), invocation: sender });
    match invocation.await {
        Ok(invocation) => invocation.into_response(),
        Err(_dropped) => StatusCode::GONE.into_response(),
    }
}

async fn response(
    State(requests): State<Requests>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    send(&requests, FunctionRequest::Response(FunctionResponse { request_id, body: Ok(body) }))
}

async fn error(State(requests): State<Requests>, Path(request_id): Path<String>, body: Bytes) -> StatusCode {
    send(&requests, FunctionRequest::Response(FunctionResponse { request_id, body: Err(body) }))
}

async fn init_error(State(requests): State<Requests>, body: Bytes) -> StatusCode {
    send(&requests, FunctionRequest::InitError(body))
}

fn send(requests: &Requests, request: FunctionRequest) -> StatusCode {
    match requests.send(request) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_closed) => StatusCode::GONE,
    }
}
