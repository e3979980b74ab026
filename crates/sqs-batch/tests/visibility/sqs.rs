//! An SQS that records calls and replies as scripted. It takes the place of the HTTP client of the SDK.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::ConnectorError;
use aws_sdk_sqs::{Client, Config};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use serde_json::{Value, json};
use sqs_batch::Backoff;
use sqs_batch::visibility::Visibility;

/// What happens to a call.
#[derive(Debug, Clone, Copy, Default)]
pub enum Reply {
    /// All entries are accepted.
    #[default]
    Accepted,
    /// All entries are accepted after this time.
    AcceptedAfter(Duration),
    /// These entries of the call are refused. The codes are `Code0`, `Code1`, and so on, by the position in the call.
    Refused { from: usize, to: usize },
    /// The call fails with this HTTP status and error code.
    Failed(u16, &'static str),
    /// No reply is sent.
    None,
}

/// One `ChangeMessageVisibilityBatch` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub host: String,
    pub queue_url: String,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub receipt_handle: String,
    pub seconds: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Sqs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The replies to the first calls. All later calls are accepted.
    replies: Vec<Reply>,
    /// The region that each client was made for.
    clients: Vec<Option<String>>,
    calls: Vec<Call>,
    in_progress: usize,
    peak: usize,
}

impl Sqs {
    /// Replies to the calls in this order. All further calls are accepted.
    pub fn replying(replies: &[Reply]) -> Self {
        let sqs = Self::default();
        sqs.0.lock().unwrap().replies = replies.to_vec();
        sqs
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    /// The entries of all calls so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.calls().into_iter().flat_map(|call| call.entries).collect()
    }

    /// The requested time-out of a message in seconds.
    pub fn seconds_of(&self, message_id: &str) -> u64 {
        let entries = self.entries();
        let mut of_message =
            entries.iter().filter(|entry| entry.receipt_handle == format!("handle of {message_id}"));
        let (Some(entry), None) = (of_message.next(), of_message.next()) else {
            panic!("{message_id} does not have exactly one entry: {entries:?}");
        };
        entry.seconds
    }

    /// The region that each client was made for.
    pub fn clients(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap().clients.clone()
    }

    /// The largest number of calls that were in progress at once.
    pub fn peak(&self) -> usize {
        self.0.lock().unwrap().peak
    }

    /// Time-outs that are requested from this SQS.
    pub fn visibility(&self, backoff: Backoff) -> Visibility {
        let sqs = self.clone();
        Visibility::new(backoff, move |region| std::future::ready(sqs.client(region)))
    }

    fn client(&self, region: Option<Region>) -> Client {
        self.0.lock().unwrap().clients.push(region.as_ref().map(ToString::to_string));
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .region(region.unwrap_or(Region::from_static("us-east-1")))
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    /// Records the call. Returns the ids of its entries, and what happens to it.
    fn receive(&self, request: &HttpRequest) -> (Vec<String>, Reply) {
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = body["Entries"].as_array().unwrap().iter().map(|entry| Entry {
            id: text(&entry["Id"]),
            receipt_handle: text(&entry["ReceiptHandle"]),
            seconds: entry["VisibilityTimeout"].as_u64().unwrap(),
        });
        let entries: Vec<_> = entries.collect();
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        let operation = request.headers().get("x-amz-target").unwrap();
        assert_eq!(operation, "AmazonSQS.ChangeMessageVisibilityBatch");
        let host = request.uri().trim_start_matches("https://").trim_end_matches('/').to_owned();
        let mut state = self.0.lock().unwrap();
        let reply = state.replies.get(state.calls.len()).copied().unwrap_or_default();
        state.calls.push(Call { host, queue_url: text(&body["QueueUrl"]), entries });
        state.in_progress += 1;
        state.peak = state.peak.max(state.in_progress);
        (ids, reply)
    }

    async fn reply(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (ids, reply) = self.receive(&request);
        let response = match reply {
            Reply::Accepted => changed(&ids, 0..0),
            Reply::AcceptedAfter(time) => {
                tokio::time::sleep(time).await;
                changed(&ids, 0..0)
            }
            Reply::Refused { from, to } => changed(&ids, from..to),
            Reply::Failed(status, code) => {
                let error = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "scripted" });
                response(status, &error)
            }
            Reply::None => std::future::pending().await,
        };
        self.0.lock().unwrap().in_progress -= 1;
        Ok(response)
    }
}

impl HttpConnector for Sqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().reply(request))
    }
}

/// The reply to a call of which some entries are refused.
fn changed(ids: &[String], refused: Range<usize>) -> HttpResponse {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (position, id) in ids.iter().enumerate() {
        if refused.contains(&position) {
            failed.push(json!({ "Id": id, "SenderFault": true, "Code": format!("Code{position}") }));
        } else {
            successful.push(json!({ "Id": id }));
        }
    }
    response(200, &json!({ "Successful": successful, "Failed": failed }))
}

fn response(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body.to_string().into())
}
