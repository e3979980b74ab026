//! Exporters that send spans to an OpenTelemetry collector (OTLP) by gRPC or HTTP.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use rustls::RootCertStore;
use tonic::Code;
use tonic::body::Body;
use tower::Service;
use url::Url;

use crate::grpc_channel::{Channel, Connector};
use crate::http_client;

type BoxError = Box<dyn Error + Send + Sync>;

/// The limit for a message and for a connection. The caller's limits are shorter, so this one is not reached.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the peer may leave sent data or a ping unacknowledged before the connection is closed. The connection may
/// have died while the function was frozen.
const MAX_UNACKNOWLEDGED_TIME: Duration = Duration::from_millis(500);
/// The gRPC method that receives spans.
const GRPC_METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A larger reply is not read. A collector replies with hardly more than a status.
const MAX_REPLY: usize = 64 * 1024; // bytes

/// Sends the messages of `opentelemetry-otlp` by gRPC. That library has a gRPC client of its own, but it needs tonic's
/// transport, which makes the zip 0.2 MiB larger (docs/decisions.md).
#[derive(Debug)]
struct GrpcClient(Channel);

pub(super) fn grpc(endpoint: &Url, roots: RootCertStore) -> Result<SpanExporter, BoxError> {
    let (address, tls) = (endpoint.as_str().parse()?, http_client::tls(roots)?);
    let connector = Connector::new(address, tls, TIMEOUT, MAX_UNACKNOWLEDGED_TIME);
    let client = GrpcClient(Channel::new(Arc::new(connector)));
    Ok(exporter(client, endpoint.join(GRPC_METHOD)?.into())?)
}

pub(super) fn http(endpoint: &Url, roots: RootCertStore) -> Result<SpanExporter, BoxError> {
    let tls = http_client::tls(roots)?;
    let client =
        http_client::builder(tls).tcp_user_timeout(MAX_UNACKNOWLEDGED_TIME).timeout(TIMEOUT).build()?;
    let base = endpoint.as_str().trim_end_matches('/');
    Ok(exporter(client, format!("{base}/v1/traces"))?)
}

fn exporter(client: impl HttpClient + 'static, address: String) -> Result<SpanExporter, ExporterBuildError> {
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address)
        .with_retry_policy(RetryPolicy::disabled()) // its pauses would block the thread
        .with_timeout(TIMEOUT)
        .build()
}

#[tonic::async_trait]
impl HttpClient for GrpcClient {
    /// Sends a POST request, whose body is a Protobuf message. The message of the reply is not returned, so spans that
    /// the collector rejects in it are not noticed.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
        match self.send(request).await {
            Ok(()) => Ok(Response::default()),
            // The library reports only that there was an error.
            Err(error) => {
                let reason = http_client::connection_failure(&*error).unwrap_or_else(|| error.to_string());
                tracing::debug!(reason, "the collector did not accept the spans");
                Err(error)
            }
        }
    }
}

impl GrpcClient {
    async fn send(&self, request: Request<Bytes>) -> Result<(), BoxError> {
        let (mut head, message) = request.into_parts();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        // A message follows a byte that says that it is not compressed, and its size.
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(message.len().try_into()?);
        framed.put(message);
        let request = Request::from_parts(head, Body::new(Full::new(framed.freeze())));
        let (head, body) = self.0.clone().call(request).await?.into_parts();
        let reply = Limited::new(body, MAX_REPLY).collect().await?;
        // If there is only a status, it is among the headers.
        let trailers = reply.trailers().unwrap_or(&head.headers);
        match trailers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes())) {
            Some(Code::Ok) => Ok(()),
            Some(code) => Err(format!("gRPC code {}", i32::from(code)).into()),
            None => Err(format!("HTTP status {} without a gRPC code", head.status.as_u16()).into()),
        }
    }
}
