//! Spans in the format of the X-Ray daemon: one subsegment document per datagram, as the AWS X-Ray Developer Guide
//! describes it ("X-Ray segment documents", "Sending segment documents to the daemon").
//!
//! `opentelemetry-aws` has an exporter too, but without it the worker needs 15 % less CPU time per event and has a
//! smaller binary (docs/decisions.md).

use std::borrow::Cow;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as key;
use serde::{Serialize, Serializer};

use crate::telemetry::traces::describe::{EXCEPTION, PEER_SERVICE, own};

const HEADER: &[u8] = b"{\"format\": \"json\", \"version\": 1}\n";

/// The attributes that X-Ray can search by, and the names of their annotations, which consist of letters, digits and
/// `_`.
const ANNOTATIONS: [(&str, &str); 8] = [
    (key::ERROR_TYPE, "error_type"),
    (key::FAAS_INVOCATION_ID, "faas_invocation_id"),
    (key::MESSAGING_MESSAGE_ID, "messaging_message_id"),
    (key::RPC_METHOD, "rpc_method"),
    (key::RPC_RESPONSE_STATUS_CODE, "rpc_response_status_code"),
    (own::EVENT_TYPE, "reservation_worker_event_type"),
    (own::OUTCOME, "reservation_worker_outcome"),
    (own::RESERVATION_ID, "reservation_worker_reservation_id"),
];

/// The longest datagram that is sent with others in one system call ([`Daemon::send_joined`]), in bytes. Longer ones
/// might not fit into one packet (1,500 bytes on Ethernet), and the kernel then refuses the call.
const MAX_JOINED_BYTES: usize = 1_452;
/// The largest number of datagrams that are sent in one system call. Between two calls, a daemon on this machine can
/// run and empty its buffer.
const MAX_JOINED_DATAGRAMS: usize = 16;

/// A socket that sends to the daemon.
#[derive(Debug)]
pub(super) struct Daemon(UdpSocket);

impl Daemon {
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        Ok(Self(socket))
    }

    /// Sends each span with its calls. A datagram that cannot be sent is lost, and UDP may lose one that was sent.
    pub(super) fn send(&self, spans: &[SpanData]) {
        let (short, long): (Vec<_>, Vec<_>) =
            datagrams(spans).into_iter().partition(|datagram| datagram.len() <= MAX_JOINED_BYTES);
        for joined in short.chunks(MAX_JOINED_DATAGRAMS) {
            if joined.len() == 1 || self.send_joined(joined).is_err() {
                self.send_single(joined);
            }
        }
        self.send_single(&long);
    }

    fn send_single(&self, datagrams: &[Vec<u8>]) {
        for datagram in datagrams {
            let _ = self.0.send(datagram);
        }
    }

    /// Sends these datagrams with one system call (`UDP_SEGMENT`). The kernel cuts the data into pieces of one length,
    /// so shorter documents get spaces at their end, which JSON allows.
    fn send_joined(&self, datagrams: &[Vec<u8>]) -> io::Result<()> {
        let length = datagrams.iter().map(Vec::len).max().unwrap_or_default();
        let mut joined = Vec::with_capacity(length * datagrams.len());
        for (index, datagram) in datagrams.iter().enumerate() {
            joined.resize(index * length, b' ');
            joined.extend_from_slice(datagram);
        }
        let set_segment = |length| setsockopt(&self.0, UdpGsoSegment, &length);
        set_segment(i32::try_from(length).map_err(io::Error::other)?)?;
        let sent = self.0.send(&joined);
        set_segment(0)?;
        sent.map(drop)
    }
}

/// A document for each span with its calls.
fn datagrams(spans: &[SpanData]) -> Vec<Vec<u8>> {
    // A span sorts before its calls, which begin later.
    let mut spans: Vec<_> = spans.iter().collect();
    spans.sort_by_cached_key(|span| (owner(span), span.start_time));
    let mut datagrams = Vec::new();
    for document in spans.chunk_by(|one, other| owner(one) == owner(other)) {
        let (outer, nested) = match document {
            [span, calls @ ..] if span.span_kind != SpanKind::Client => (&document[..1], calls),
            calls => (calls, &[][..]), // the span of their record is not among the spans
        };
        for span in outer {
            let mut datagram = Vec::with_capacity(MAX_JOINED_BYTES);
            datagram.extend_from_slice(HEADER);
            if serde_json::to_writer(&mut datagram, &Subsegment::document(span, nested)).is_ok() {
                datagrams.push(datagram);
            }
        }
    }
    datagrams
}

/// The id of the span whose document contains this span.
fn owner(span: &SpanData) -> [u8; 8] {
    match span.span_kind {
        SpanKind::Client => span.parent_span_id.to_bytes(),
        _ => span.span_context.span_id().to_bytes(),
    }
}

#[derive(Serialize)]
struct Subsegment<'a> {
    /// `None` for a call inside the document of its record.
    #[serde(flatten)]
    place: Option<Place>,
    name: Cow<'a, str>,
    id: String,
    /// Seconds since 1970.
    start_time: f64,
    end_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations<'a>,
    #[serde(flatten)]
    error: Option<Error<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subsegments: Vec<Self>,
}

/// The trace of a document, and its parent in the trace.
#[derive(Serialize)]
struct Place {
    trace_id: String,
    #[serde(flatten)]
    parent: Option<Parent>,
}

/// The parent of a document. A document without one is a segment.
#[derive(Serialize)]
struct Parent {
    #[serde(rename = "type")]
    kind: &'static str,
    parent_id: String,
}

#[derive(Serialize)]
struct Http<'a> {
    request: Request<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
}

#[derive(Serialize)]
struct Request<'a> {
    method: Cow<'a, str>,
    url: Cow<'a, str>,
}

#[derive(Clone, Copy, Serialize)]
struct Response {
    status: i64,
}

/// The kind of an error and its cause.
#[derive(Serialize)]
struct Error<'a> {
    /// The service or the worker failed.
    fault: bool,
    /// The service rejected the request (4xx).
    error: bool,
    /// The service rejected the request because there were too many (429).
    throttle: bool,
    cause: Cause<'a>,
}

#[derive(Serialize)]
struct Cause<'a> {
    exceptions: Vec<Exception<'a>>,
}

#[derive(Serialize)]
struct Exception<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    message: Cow<'a, str>,
    remote: bool,
}

struct Annotations<'a>(&'a [KeyValue]);

impl<'a> Annotations<'a> {
    fn entries(&self) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        self.0.iter().filter_map(|attribute| {
            let (_, name) = ANNOTATIONS.iter().find(|(key, _)| *key == attribute.key.as_str())?;
            Some((*name, attribute.value.as_str()))
        })
    }

    fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }
}

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

impl<'a> Subsegment<'a> {
    fn document(span: &'a SpanData, calls: &[&'a SpanData]) -> Self {
        let trace_id = span.span_context.trace_id().to_string();
        let (time, unique) = trace_id.split_at(8);
        let parent = (span.parent_span_id != SpanId::INVALID)
            .then(|| Parent { kind: "subsegment", parent_id: span.parent_span_id.to_string() });
        let place = Place { trace_id: ["1-", time, "-", unique].concat(), parent };
        let subsegments = calls.iter().map(|call| Self::of(call)).collect();
        Self { place: Some(place), subsegments, ..Self::of(span) }
    }

    fn of(span: &'a SpanData) -> Self {
        let is_call = span.span_kind == SpanKind::Client;
        let method = text(&span.attributes, key::HTTP_REQUEST_METHOD);
        let response = match value(&span.attributes, key::HTTP_RESPONSE_STATUS_CODE) {
            Some(Value::I64(status)) => Some(Response { status: *status }),
            _ => None,
        };
        Self {
            place: None,
            name: text(&span.attributes, PEER_SERVICE).unwrap_or(Cow::Borrowed(&span.name)),
            id: span.span_context.span_id().to_string(),
            start_time: seconds(span.start_time),
            end_time: seconds(span.end_time),
            namespace: is_call.then_some("remote"),
            http: method.map(|method| Http {
                request: Request { method, url: text(&span.attributes, key::URL_FULL).unwrap_or_default() },
                response,
            }),
            annotations: Annotations(&span.attributes),
            error: matches!(span.status, Status::Error { .. }).then(|| {
                let status = response.map_or(0, |response| response.status);
                let is_rejected = (400..500).contains(&status);
                let exceptions = span.events.iter().filter(|event| event.name == EXCEPTION);
                let exceptions = exceptions.map(|event| Exception {
                    id: format!("{:016x}", fastrand::u64(1..)),
                    kind: text(&event.attributes, key::EXCEPTION_TYPE).unwrap_or_default(),
                    message: text(&event.attributes, key::EXCEPTION_MESSAGE).unwrap_or_default(),
                    remote: is_call,
                });
                Error {
                    fault: !is_rejected,
                    error: is_rejected,
                    throttle: status == 429,
                    cause: Cause { exceptions: exceptions.collect() },
                }
            }),
            subsegments: Vec::new(),
        }
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| &attribute.value)
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<Cow<'a, str>> {
    value(attributes, key).map(Value::as_str)
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
