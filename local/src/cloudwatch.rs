//! A server for `PutMetricData`, the only operation of CloudWatch that the function calls. It validates the calls by
//! the limits of CloudWatch, and records those that it accepts. It is stricter than CloudWatch where the function
//! always sends the same: each datum must have a `Timestamp`, the `Unit` `Seconds` or `Count`, and either a `Value` or
//! both `Values` and `Counts`. Its protocol is that of the Rust SDK: Smithy RPC v2 with CBOR, with or without gzip.

mod datum;
mod wire;

pub use datum::Datum;

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::lock::locked;

const OPERATION: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
/// The largest request in bytes, before and after decompression.
const MAX_REQUEST: usize = 1_000_000;
/// The largest number of `MetricDatum` values in one call.
const MAX_DATA: usize = 1_000;

/// A server that receives metrics on a free loopback port. Dropping it stops it.
#[derive(Debug)]
pub struct CloudWatch {
    endpoint: String,
    state: Arc<CloudWatchState>,
    server: JoinHandle<io::Result<()>>,
}

/// A `PutMetricData` call that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct PutMetricDataCall {
    /// The namespace of the metrics.
    pub namespace: String,
    /// The metrics.
    pub data: Vec<Datum>,
    /// The size of the body as it was sent, in bytes.
    pub sent_bytes: usize,
    /// The size of the body after decompression, in bytes. Equal to `sent_bytes` if the body was not
    /// compressed.
    pub unpacked_bytes: usize,
}

/// How the server replies to calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CloudWatchBehaviour {
    /// Replies as CloudWatch does.
    #[default]
    Normal,
    /// Replies with this HTTP status and error code, and records nothing.
    Fails(u16, &'static str),
    /// Replies as CloudWatch does to this number of calls, counted from the start of the server. Replies to
    /// later calls with `ThrottlingException`.
    Throttled(usize),
    /// Sends no reply and records nothing.
    Hang,
    /// Records the call and sends no reply.
    HangAfterAccepting,
}

#[derive(Debug, Default)]
struct CloudWatchState {
    accepted: Mutex<Vec<PutMetricDataCall>>,
    call_count: Mutex<usize>,
    behaviour: Mutex<CloudWatchBehaviour>,
}

impl CloudWatch {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(CloudWatchState::default());
        let routes = Router::new()
            .fallback(put_metric_data)
            // Above axum's default limit, so that a request that is too large gets CloudWatch's error.
            .layer(DefaultBodyLimit::max(10 * MAX_REQUEST))
            .with_state(state.clone());
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { endpoint, state, server })
    }

    /// The value for `AWS_ENDPOINT_URL_CLOUDWATCH`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sets how the server replies to the next calls.
    pub fn set_behaviour(&self, behaviour: CloudWatchBehaviour) {
        *locked(&self.state.behaviour) = behaviour;
    }

    /// The number of calls since the start, whether they were accepted or not.
    pub fn calls(&self) -> usize {
        *locked(&self.state.call_count)
    }

    /// Returns the accepted calls since the last `take`, in the order in which they arrived.
    pub fn take(&self) -> Vec<PutMetricDataCall> {
        std::mem::take(&mut *locked(&self.state.accepted))
    }
}

impl Drop for CloudWatch {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn put_metric_data(
    State(state): State<Arc<CloudWatchState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call_count = {
        let mut call_count = locked(&state.call_count);
        *call_count += 1;
        *call_count
    };
    let behaviour = locked(&state.behaviour).clone();
    match behaviour {
        CloudWatchBehaviour::Throttled(limit) if call_count > limit => {
            return error(400, "ThrottlingException", "too many calls");
        }
        CloudWatchBehaviour::Normal
        | CloudWatchBehaviour::HangAfterAccepting
        | CloudWatchBehaviour::Throttled(_) => {}
        CloudWatchBehaviour::Fails(status, code) => return error(status, code, code),
        CloudWatchBehaviour::Hang => return std::future::pending().await,
    }
    let has_header = |name: &str, expected: &str| headers.get(name).is_some_and(|value| value == expected);
    if uri.path() != OPERATION || !has_header("smithy-protocol", "rpc-v2-cbor") {
        return error(
            404,
            "UnknownOperationException",
            "the server only knows PutMetricData over rpc-v2-cbor",
        );
    }
    match decode(&body, has_header("content-encoding", "gzip")) {
        Ok(call) => locked(&state.accepted).push(call),
        Err(message) => return error(400, "InvalidParameterValueException", &message),
    }
    if behaviour == CloudWatchBehaviour::HangAfterAccepting {
        std::future::pending::<()>().await;
    }
    reply(StatusCode::OK, &[])
}

fn decode(body: &[u8], is_compressed: bool) -> Result<PutMetricDataCall, String> {
    let mut unpacked = Vec::new();
    if is_compressed {
        // One byte above the limit is enough to detect a request that is too large.
        let reader = GzDecoder::new(body).take(MAX_REQUEST as u64 + 1);
        io::BufReader::new(reader).read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
    } else {
        unpacked.extend_from_slice(body);
    }
    if unpacked.len() > MAX_REQUEST {
        return Err("the request is too large".to_owned());
    }
    let (namespace, data) = wire::decode(&unpacked)?;
    if namespace.is_empty() || data.is_empty() || data.len() > MAX_DATA {
        return Err(format!("{} data in namespace {namespace:?}", data.len()));
    }
    for datum in &data {
        if let Some(part) = datum.invalid_part() {
            return Err(format!("invalid {part}: {datum:?}"));
        }
    }
    Ok(PutMetricDataCall { namespace, data, sent_bytes: body.len(), unpacked_bytes: unpacked.len() })
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, &[("__type", &format!("com.amazonaws.cloudwatch#{code}")), ("message", message)])
}

fn reply(status: StatusCode, members: &[(&str, &str)]) -> Response {
    let headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    (status, headers, wire::encode(members)).into_response()
}
