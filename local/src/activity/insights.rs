//! A replacement of CloudWatch Logs Insights for the operator's tool `dead-letters`. It finds the last log line about
//! each returned message: the tool searches for no other lines.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::History;

/// The name of the log group of the function.
pub(crate) const LOG_GROUP: &str = "local";

/// A server on a free loopback port. Dropping it stops it.
pub(crate) struct Insights {
    endpoint: String,
    server: JoinHandle<io::Result<()>>,
}

struct Searches {
    history: Arc<Mutex<History>>,
    /// The lines that were found and not yet fetched, by query id.
    found: Mutex<HashMap<String, Value>>,
}

impl Insights {
    pub(crate) async fn start(history: Arc<Mutex<History>>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let searches = Arc::new(Searches { history, found: Mutex::default() });
        let routes = Router::new().fallback(reply).with_state(searches);
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { endpoint, server })
    }

    /// The value for `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Insights {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn reply(State(searches): State<Arc<Searches>>, headers: HeaderMap, body: String) -> Response {
    let call: Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let mut found = searches.found.lock().unwrap_or_else(PoisonError::into_inner);
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let reply = match target.rsplit('.').next() {
        Some("StartQuery") => {
            let history = searches.history.lock().unwrap_or_else(PoisonError::into_inner);
            let id = format!("{:032x}", fastrand::u128(..));
            found.insert(id.clone(), rows(&history, text("queryString")));
            json!({ "queryId": id })
        }
        Some("GetQueryResults") => {
            let rows = found.remove(text("queryId")).unwrap_or_else(|| json!([]));
            json!({ "status": "Complete", "results": rows })
        }
        Some("StopQuery") => json!({ "success": found.remove(text("queryId")).is_some() }),
        _ => {
            let error = json!({ "__type": "UnknownOperationException", "message": target });
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    ([("content-type", "application/x-amz-json-1.1")], reply.to_string()).into_response()
}

/// The lines about the messages whose ids are in the query, in quotation marks.
fn rows(history: &History, query: &str) -> Value {
    let lines = query.split('"').filter_map(|id| history.last_line(id));
    lines.map(|line| json!([{ "field": "@message", "value": line.to_string() }])).collect()
}
