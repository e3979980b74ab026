//! The one operation of SQS that the function calls, `ChangeMessageVisibilityBatch`, as strict as SQS itself
//! and recorded. For what a queue does beyond that, a real one is needed.

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

use crate::services::locked;

/// Takes visibility changes on a free loopback port. Dropped, it stops.
pub struct VisibilityChanges {
    endpoint: String,
    shared: Arc<Shared>,
    server: JoinHandle<io::Result<()>>,
}

/// One call: at most ten entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// The queue that was named.
    pub queue_url: String,
    /// What was asked for.
    pub entries: Vec<Entry>,
}

/// A message's new visibility time-out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    id: String,
    /// The receive that is meant.
    pub receipt_handle: String,
    /// Seconds.
    pub visibility_timeout: i64,
}

/// How calls are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answer {
    /// As SQS would.
    #[default]
    Normal,
    /// This entry code for the receipt handles that contain this text.
    EntryFails(String, &'static str),
    /// An error for the whole call.
    CallFails(u16, &'static str),
    /// None.
    Hang,
}

#[derive(Default)]
struct Shared {
    changes: Mutex<Vec<Change>>,
    answer: Mutex<Answer>,
    grant: OnceLock<Grant>,
}

/// The code of the refusal, if the queue refuses.
type Grant = Box<dyn Fn(&Entry) -> Option<&'static str> + Send + Sync>;

impl VisibilityChanges {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let routes = Router::new().fallback(change).with_state(shared.clone());
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { endpoint, shared, server })
    }

    /// Value for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How the next calls are answered.
    pub fn answer(&self, answer: Answer) {
        *locked(&self.shared.answer) = answer;
    }

    /// Whose messages they are: a queue that grants each entry of a call that is answered, or refuses it with
    /// a code. Said once; without, all is granted.
    pub fn granted_by(&self, queue: impl Fn(&Entry) -> Option<&'static str> + Send + Sync + 'static) {
        let _ = self.shared.grant.set(Box::new(queue));
    }

    /// The calls so far, which are forgotten.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *locked(&self.shared.changes))
    }
}

impl Drop for VisibilityChanges {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn change(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("AmazonSQS.ChangeMessageVisibilityBatch") {
        return refused(400, "UnknownOperationException");
    }
    let Ok(change) = serde_json::from_str::<Change>(&body) else {
        return refused(400, "InvalidParameterValue");
    };
    let ids: HashSet<_> = change.entries.iter().map(|entry| &entry.id).collect();
    if change.entries.is_empty() {
        return refused(400, "AWS.SimpleQueueService.EmptyBatchRequest");
    }
    if change.entries.len() > 10 {
        return refused(400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest");
    }
    if ids.len() < change.entries.len() {
        return refused(400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct");
    }
    locked(&shared.changes).push(change.clone());
    let granted = |entry: &Entry| shared.grant.get().and_then(|grant| grant(entry));
    let answer = locked(&shared.answer).clone();
    match answer {
        Answer::Normal => Json(reply(&change, granted)).into_response(),
        Answer::EntryFails(text, code) => {
            let fails = |entry: &Entry| entry.receipt_handle.contains(&text).then_some(code);
            Json(reply(&change, |entry| fails(entry).or_else(|| granted(entry)))).into_response()
        }
        Answer::CallFails(status, code) => refused(status, code),
        Answer::Hang => std::future::pending().await,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    successful: Vec<Value>,
    failed: Vec<Value>,
}

fn reply(change: &Change, fails: impl Fn(&Entry) -> Option<&'static str>) -> Reply {
    let mut reply = Reply { successful: Vec::new(), failed: Vec::new() };
    for entry in &change.entries {
        let out_of_range = !(0..=43_200).contains(&entry.visibility_timeout);
        match out_of_range.then_some("InvalidParameterValue").or_else(|| fails(entry)) {
            Some(code) => reply.failed.push(json!({ "Id": entry.id, "SenderFault": true, "Code": code })),
            None => reply.successful.push(json!({ "Id": entry.id })),
        }
    }
    reply
}

fn refused(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": code }))).into_response()
}
