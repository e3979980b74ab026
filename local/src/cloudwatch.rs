//! The one operation of CloudWatch that the function calls, `PutMetricData`, as strict as CloudWatch itself
//! and recorded. It speaks what the Rust SDK speaks: Smithy RPC v2 with CBOR, compressed if the caller wishes.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::services::locked;

mod wire;

const OPERATION: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
/// Largest request, sent and unpacked.
const REQUEST: usize = 1_000_000;
const DATA: usize = 1_000;
const VALUES: usize = 150;
const DIMENSIONS: usize = 30;
const DAY: Duration = Duration::from_secs(86_400);

/// Takes metrics on a free loopback port. Dropped, it stops.
#[derive(Debug)]
pub struct CloudWatch {
    endpoint: String,
    shared: Arc<Shared>,
    server: JoinHandle<io::Result<()>>,
}

/// One call that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// The namespace that was named.
    pub namespace: String,
    /// What was sent.
    pub data: Vec<Datum>,
    /// Bytes of the body as it was sent.
    pub sent: usize,
    /// Bytes of the body unpacked; the same if it was not compressed.
    pub size: usize,
}

/// Values of one metric under one set of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// The metric.
    pub name: String,
    /// Name and value of each dimension.
    pub dimensions: BTreeMap<String, String>,
    /// What they are measured in.
    pub unit: String,
    /// When they were measured.
    pub timestamp: SystemTime,
    /// Seconds.
    pub storage_resolution: Option<u64>,
    /// One value was sent, and not an array.
    pub is_single: bool,
    /// The values, and how often each occurred.
    pub values: Vec<(f64, f64)>,
}

/// How calls are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answer {
    /// As CloudWatch would.
    #[default]
    Normal,
    /// An error, and nothing is taken.
    Fails(u16, &'static str),
    /// As CloudWatch would, so many calls from the first one on; then it is throttled.
    Throttled(usize),
    /// None, and nothing is taken.
    Hang,
    /// None, but what was sent is taken.
    HangWhenTaken,
}

#[derive(Debug, Default)]
struct Shared {
    puts: Mutex<Vec<Put>>,
    calls: Mutex<usize>,
    answer: Mutex<Answer>,
}

impl CloudWatch {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let routes = Router::new()
            .fallback(put)
            .layer(DefaultBodyLimit::max(10 * REQUEST)) // what is too large is refused in CloudWatch's words
            .with_state(shared.clone());
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { endpoint, shared, server })
    }

    /// Value for `AWS_ENDPOINT_URL_CLOUDWATCH`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How the next calls are answered.
    pub fn answer(&self, answer: Answer) {
        *locked(&self.shared.answer) = answer;
    }

    /// Calls so far, taken or not.
    pub fn calls(&self) -> usize {
        *locked(&self.shared.calls)
    }

    /// The calls so far that were taken, which are forgotten.
    pub fn take(&self) -> Vec<Put> {
        std::mem::take(&mut *locked(&self.shared.puts))
    }
}

impl Drop for CloudWatch {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn put(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let calls = {
        let mut calls = locked(&shared.calls);
        *calls += 1;
        *calls
    };
    let answer = locked(&shared.answer).clone();
    match answer {
        Answer::Throttled(taken) if calls > taken => return refused(400, "ThrottlingException", "slower"),
        Answer::Normal | Answer::HangWhenTaken | Answer::Throttled(_) => {}
        Answer::Fails(status, code) => return refused(status, code, code),
        Answer::Hang => return std::future::pending().await,
    }
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    if uri.path() != OPERATION || !says("smithy-protocol", "rpc-v2-cbor") {
        return refused(404, "UnknownOperationException", "only PutMetricData, by rpc-v2-cbor");
    }
    match read(&body, says("content-encoding", "gzip")) {
        Ok(put) => locked(&shared.puts).push(put),
        Err(why) => return refused(400, "InvalidParameterValueException", &why),
    }
    if answer == Answer::HangWhenTaken {
        std::future::pending::<()>().await;
    }
    reply(StatusCode::OK, &[])
}

fn read(body: &[u8], is_packed: bool) -> Result<Put, String> {
    let mut unpacked = Vec::new();
    if is_packed {
        // A little more than is allowed shows that it is too much.
        let reader = GzDecoder::new(body).take(REQUEST as u64 + 1);
        io::BufReader::new(reader).read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
    } else {
        unpacked.extend_from_slice(body);
    }
    if unpacked.len() > REQUEST {
        return Err("the request is too large".to_owned());
    }
    let (namespace, data) = wire::put_metric_data(&unpacked)?;
    if namespace.is_empty() || data.is_empty() || data.len() > DATA {
        return Err(format!("{} data in namespace {namespace:?}", data.len()));
    }
    match data.iter().find_map(|datum| fault(datum).map(|fault| format!("{fault}: {datum:?}"))) {
        Some(fault) => Err(fault),
        None => Ok(Put { namespace, data, sent: body.len(), size: unpacked.len() }),
    }
}

/// What CloudWatch would not take of it.
fn fault(datum: &Datum) -> Option<&'static str> {
    let now = SystemTime::now();
    let text = |text: &String| (1..=1_024).contains(&text.len()) && text.is_ascii() && !text.starts_with(':');
    let is_number = |number: f64| number.is_finite() && number.abs() <= 2_f64.powi(360);
    if datum.name.is_empty() || datum.name.len() > 255 {
        Some("name")
    } else if datum.dimensions.len() > DIMENSIONS
        || !datum.dimensions.iter().all(|(name, value)| name.len() <= 255 && text(name) && text(value))
    {
        Some("dimensions")
    } else if datum.timestamp < now - 14 * DAY || datum.timestamp > now + DAY / 12 {
        Some("timestamp")
    } else if datum.values.is_empty() || datum.values.len() > VALUES {
        Some("number of values")
    } else if !datum
        .values
        .iter()
        .all(|(value, count)| is_number(*value) && is_number(*count) && *count > 0.0)
    {
        Some("values")
    } else if !["Seconds", "Count"].contains(&datum.unit.as_str()) {
        Some("unit")
    } else {
        None
    }
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, &[("__type", &format!("com.amazonaws.cloudwatch#{code}")), ("message", message)])
}

fn reply(status: StatusCode, body: &[(&str, &str)]) -> Response {
    let headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    (status, headers, wire::map(body)).into_response()
}

fn since_epoch(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
