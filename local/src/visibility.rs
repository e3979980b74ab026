//! A server for `ChangeMessageVisibilityBatch`, the only operation of SQS that the function calls. It records
//! the calls and validates them as strictly as SQS does. It has no queue; use
//! [`event_source`](crate::event_source) with a real SQS implementation to test what happens to the messages.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::lock::locked;

/// The largest number of entries in one call.
const MAX_ENTRIES: usize = 10;
/// The largest visibility time-out in seconds: 12 hours.
const MAX_TIMEOUT: i64 = 43_200;

/// A server that receives visibility time-outs on a free loopback port. Dropping it stops it.
pub struct VisibilityApi {
    endpoint: String,
    state: Arc<VisibilityState>,
    server: JoinHandle<io::Result<()>>,
}

/// A valid `ChangeMessageVisibilityBatch` call, with at most 10 entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VisibilityCall {
    /// The URL of the queue.
    pub queue_url: String,
    /// The requested changes.
    pub entries: Vec<VisibilityEntry>,
}

/// The requested visibility time-out of one message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VisibilityEntry {
    id: String,
    /// The receipt handle of the message.
    pub receipt_handle: String,
    /// The visibility time-out in seconds.
    pub visibility_timeout: i64,
}

/// How the server replies to calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VisibilityBehaviour {
    /// Replies as SQS does.
    #[default]
    Normal,
    /// Rejects the entries whose receipt handle contains this text, with this error code.
    EntryFails(String, &'static str),
    /// Rejects the whole call with this HTTP status and error code.
    CallFails(u16, &'static str),
    /// Sends no reply.
    Hang,
}

#[derive(Default)]
struct VisibilityState {
    calls: Mutex<Vec<VisibilityCall>>,
    behaviour: Mutex<VisibilityBehaviour>,
    entry_check: OnceLock<EntryCheck>,
}

/// Returns the error code if the queue rejects the entry.
type EntryCheck = Box<dyn Fn(&VisibilityEntry) -> Option<&'static str> + Send + Sync>;

impl VisibilityApi {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(VisibilityState::default());
        let routes = Router::new().fallback(change_visibility).with_state(state.clone());
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { endpoint, state, server })
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sets how the server replies to the next calls.
    pub fn set_behaviour(&self, behaviour: VisibilityBehaviour) {
        *locked(&self.state.behaviour) = behaviour;
    }

    /// Sets a check for the entries of all calls. It returns the error code of an entry that is rejected, and
    /// `None` for an entry that is accepted. Without a check, all entries are accepted. Only the first check
    /// that is set is used.
    pub fn set_entry_check(
        &self,
        check: impl Fn(&VisibilityEntry) -> Option<&'static str> + Send + Sync + 'static,
    ) {
        let _ = self.state.entry_check.set(Box::new(check));
    }

    /// Returns the valid calls since the last `take`, in the order in which they arrived.
    pub fn take(&self) -> Vec<VisibilityCall> {
        std::mem::take(&mut *locked(&self.state.calls))
    }
}

impl Drop for VisibilityApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn change_visibility(
    State(state): State<Arc<VisibilityState>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("AmazonSQS.ChangeMessageVisibilityBatch") {
        return error(400, "UnknownOperationException");
    }
    let Ok(call) = serde_json::from_str::<VisibilityCall>(&body) else {
        return error(400, "InvalidParameterValue");
    };
    let ids: HashSet<_> = call.entries.iter().map(|entry| &entry.id).collect();
    if call.entries.is_empty() {
        return error(400, "AWS.SimpleQueueService.EmptyBatchRequest");
    }
    if call.entries.len() > MAX_ENTRIES {
        return error(400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest");
    }
    if ids.len() < call.entries.len() {
        return error(400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct");
    }
    locked(&state.calls).push(call.clone());
    let check = |entry: &VisibilityEntry| state.entry_check.get().and_then(|check| check(entry));
    let behaviour = locked(&state.behaviour).clone();
    match behaviour {
        VisibilityBehaviour::Normal => Json(results(&call, check)).into_response(),
        VisibilityBehaviour::EntryFails(text, code) => {
            let fails = |entry: &VisibilityEntry| entry.receipt_handle.contains(&text).then_some(code);
            Json(results(&call, |entry| fails(entry).or_else(|| check(entry)))).into_response()
        }
        VisibilityBehaviour::CallFails(status, code) => error(status, code),
        VisibilityBehaviour::Hang => std::future::pending().await,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    successful: Vec<Value>,
    failed: Vec<Value>,
}

fn results(call: &VisibilityCall, check: impl Fn(&VisibilityEntry) -> Option<&'static str>) -> Results {
    let mut results = Results { successful: Vec::new(), failed: Vec::new() };
    for entry in &call.entries {
        let out_of_range = !(0..=MAX_TIMEOUT).contains(&entry.visibility_timeout);
        match out_of_range.then_some("InvalidParameterValue").or_else(|| check(entry)) {
            Some(code) => results.failed.push(json!({ "Id": entry.id, "SenderFault": true, "Code": code })),
            None => results.successful.push(json!({ "Id": entry.id })),
        }
    }
    results
}

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": code }))).into_response()
}
