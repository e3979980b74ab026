//! Who spans are sent to: an X-Ray daemon and an OpenTelemetry collector, which read what arrives and keep it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;
use serde_json::{Map, Value, json};
use tokio::net::UdpSocket;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

use crate::net::Endpoint;
use crate::services::locked;

/// A span as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// 16 digits, or none.
    pub parent_id: String,
    /// The trace's state.
    pub trace_state: String,
    /// What it is called.
    pub name: String,
    /// `Consumer`, `Client`.
    pub kind: String,
    /// What it says.
    pub attributes: BTreeMap<String, Value>,
    /// Trace and span ids.
    pub links: Vec<(String, String)>,
    /// The status's text, if the status is an error.
    pub error: Option<String>,
    /// Nanoseconds since 1970.
    pub time: std::ops::Range<u64>,
    /// What it says of the program that sent it.
    pub resource: BTreeMap<String, Value>,
}

/// A collector that takes OTLP by gRPC and by HTTP on one port. Dropped, it stops.
pub struct Collector {
    endpoint: Endpoint,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    /// Starts on a free loopback port.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub async fn start() -> io::Result<Self> {
        let requests = Arc::default();
        let service = TraceServiceServer::new(Requests(Arc::clone(&requests)));
        let grpc = format!("/{}/{{*method}}", <TraceServiceServer<Requests> as NamedService>::NAME);
        let router = Router::new()
            .route("/v1/traces", post(by_http))
            .with_state(Arc::clone(&requests))
            .route_service(&grpc, service);
        Ok(Self { endpoint: Endpoint::open(router, None).await?, requests })
    }

    /// Value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.endpoint.addr())
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        locked(&self.requests).len()
    }

    /// All spans that have come, in order.
    pub fn spans(&self) -> Vec<Span> {
        let requests = locked(&self.requests);
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|spans| {
            let resource = spans.resource.as_ref().map(|resource| attributes(&resource.attributes));
            let resource = resource.unwrap_or_default();
            let spans = spans.scope_spans.iter().flat_map(|scope| &scope.spans);
            spans.map(move |span| Span::new(span, resource.clone()))
        });
        spans.collect()
    }
}

async fn by_http(
    State(requests): State<Arc<Mutex<Vec<ExportTraceServiceRequest>>>>,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    locked(&requests).push(request);
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}

struct Requests(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Requests {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        locked(&self.0).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Span {
    fn new(span: &otlp::Span, resource: BTreeMap<String, Value>) -> Self {
        let status = span.status.as_ref().filter(|status| status.code() == otlp::status::StatusCode::Error);
        Self {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            trace_state: span.trace_state.clone(),
            name: span.name.clone(),
            kind: format!("{:?}", span.kind()),
            attributes: attributes(&span.attributes),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            error: status.map(|status| status.message.clone()),
            time: span.start_time_unix_nano..span.end_time_unix_nano,
            resource,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(of: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(json!(text)),
        any_value::Value::IntValue(number) => Some(json!(number)),
        any_value::Value::BoolValue(truth) => Some(json!(truth)),
        other => Some(json!(format!("{other:?}"))),
    };
    of.iter().map(|attribute| (attribute.key.clone(), value(attribute).unwrap_or_default())).collect()
}

/// An X-Ray daemon's UDP port.
pub struct Daemon(UdpSocket);

impl Daemon {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub async fn start() -> io::Result<Self> {
        Ok(Self(UdpSocket::bind("127.0.0.1:0").await?))
    }

    /// Value for `AWS_XRAY_DAEMON_ADDRESS`.
    ///
    /// # Errors
    ///
    /// The socket has no address.
    pub fn address(&self) -> io::Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    /// Waits for a datagram, and returns the document in it.
    ///
    /// # Errors
    ///
    /// It is none of the daemon's protocol.
    pub async fn document(&self) -> io::Result<Value> {
        let mut datagram = vec![0; 65_536];
        let length = self.0.recv(&mut datagram).await?;
        read(&datagram[..length])
    }

    /// Returns the documents that are here, without waiting.
    ///
    /// # Errors
    ///
    /// One is none of the daemon's protocol.
    pub fn documents(&self) -> io::Result<Vec<Value>> {
        let (mut datagram, mut documents) = (vec![0; 65_536], Vec::new());
        loop {
            match self.0.try_recv(&mut datagram) {
                Ok(length) => documents.push(read(&datagram[..length])?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(documents),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A line that says how the document is written, then the document.
fn read(datagram: &[u8]) -> io::Result<Value> {
    let line = datagram.iter().position(|byte| *byte == b'\n');
    let (header, document) = datagram.split_at(line.ok_or_else(|| io::Error::other("no header"))?);
    let header: Value = serde_json::from_slice(header)?;
    if header != json!({ "format": "json", "version": 1 }) {
        return Err(io::Error::other(format!("the header is {header}")));
    }
    Ok(serde_json::from_slice(document)?)
}

/// A document and all that is nested in it, each with the trace and the parent that it inherits.
pub fn segments(document: &Value) -> Vec<Map<String, Value>> {
    let mut segment = document.as_object().cloned().unwrap_or_default();
    let nested = segment.remove("subsegments").unwrap_or_default();
    let (trace_id, id) = (segment.get("trace_id").cloned(), segment.get("id").cloned());
    let mut segments = vec![segment];
    for nested in nested.as_array().into_iter().flatten() {
        let mut nested = nested.clone();
        nested["trace_id"] = trace_id.clone().unwrap_or_default();
        nested["parent_id"] = id.clone().unwrap_or_default();
        segments.extend(self::segments(&nested));
    }
    segments
}
