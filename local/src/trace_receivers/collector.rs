//! An OpenTelemetry collector.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
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
use serde::Serialize;
use serde_json::{Value, json};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

use crate::lock::locked;
use crate::server::Server;

/// A span, decoded from OTLP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// The trace id: 32 hexadecimal digits.
    pub trace_id: String,
    /// The span id: 16 hexadecimal digits.
    pub span_id: String,
    /// The span id of the parent: 16 hexadecimal digits. Empty for a root span.
    pub parent_id: String,
    /// The W3C `tracestate`.
    pub trace_state: String,
    /// The name of the span.
    pub name: String,
    /// The kind of the span, for example `Consumer` or `Client`.
    pub kind: String,
    /// The attributes of the span.
    pub attributes: BTreeMap<String, Value>,
    /// The trace id and the span id of each linked span.
    pub links: Vec<(String, String)>,
    /// The message of the status if the status is an error, and `None` otherwise.
    pub error: Option<String>,
    /// The start and the end of the span in nanoseconds since 1970.
    pub time: Range<u64>,
    /// The attributes of the resource: the program that sent the span.
    pub resource: BTreeMap<String, Value>,
}

/// A collector that receives OTLP over gRPC and over HTTP on one port. Dropping it stops it.
pub struct Collector {
    server: Server,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    /// Starts the collector on a free loopback port.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        let requests = Arc::default();
        let service = TraceServiceServer::new(Exports(Arc::clone(&requests)));
        let grpc = format!("/{}/{{*method}}", <TraceServiceServer<Exports> as NamedService>::NAME);
        let router = Router::new()
            .route("/v1/traces", post(export_over_http))
            .with_state(Arc::clone(&requests))
            .route_service(&grpc, service);
        Ok(Self { server: Server::start(router, None).await?, requests })
    }

    /// The value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// The number of export requests since the start or the last [`Self::take`].
    pub fn requests(&self) -> usize {
        locked(&self.requests).len()
    }

    /// All spans since the start or the last [`Self::take`], in the order in which they arrived.
    pub fn spans(&self) -> Vec<Span> {
        spans(&locked(&self.requests))
    }

    /// Returns the same as [`Self::spans`], and removes these spans.
    pub fn take(&self) -> Vec<Span> {
        spans(&std::mem::take(&mut *locked(&self.requests)))
    }
}

fn spans(requests: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let resources = requests.iter().flat_map(|request| &request.resource_spans);
    let spans = resources.flat_map(|spans| {
        let resource = spans.resource.as_ref().map(|resource| json_values(&resource.attributes));
        let resource = resource.unwrap_or_default();
        let spans = spans.scope_spans.iter().flat_map(|scope| &scope.spans);
        spans.map(move |span| Span::new(span, resource.clone()))
    });
    spans.collect()
}

async fn export_over_http(
    State(requests): State<Arc<Mutex<Vec<ExportTraceServiceRequest>>>>,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    locked(&requests).push(request);
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}

struct Exports(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Exports {
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
            attributes: json_values(&span.attributes),
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

fn json_values(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(json!(text)),
        any_value::Value::IntValue(number) => Some(json!(number)),
        any_value::Value::BoolValue(boolean) => Some(json!(boolean)),
        other => Some(json!(format!("{other:?}"))),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute).unwrap_or_default())).collect()
}
