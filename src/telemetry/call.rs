//! One try of a call to a service: one fact, told in one place.

use std::fmt::{self, Display};
use std::thread;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, TraceContextExt};
use opentelemetry_sdk::trace::Span;
use tokio::time::Instant;
use tonic::Code;
use url::Url;

use crate::fault::{Classify, Fault};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{self, describe};

/// Bytes of a header; W3C wants so many of a `tracestate` to be passed on. The producer writes it, and a server
/// that finds it too long would refuse a good record for good.
const LONGEST_FIELD: usize = 512;

/// A service that the worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Owner of the status.
    ReservationApi,
    /// Owner of the seats.
    Inventory,
}

impl Service {
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::ReservationApi, Self::Inventory];

    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReservationApi => "reservation-api",
            Self::Inventory => "inventory",
        }
    }
}

/// How a try ended, as far as it alone can say: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Done, now or earlier.
    Success,
    /// The reservation has ended otherwise.
    Conflict,
    /// The same call may succeed later.
    Transient,
    /// Trying again cannot help.
    Rejected,
    /// Given up, because the invocation's time was up.
    Abandoned,
    /// Not finished, because the worker panicked.
    Panicked,
}

impl CallOutcome {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Conflict, Self::Transient, Self::Rejected, Self::Abandoned, Self::Panicked];

    /// What an error makes of it.
    pub fn of(error: &impl Classify) -> Self {
        match error.fault() {
            Fault::Rejected => Self::Rejected,
            Fault::Transient { .. } | Fault::NotCalled(_) => Self::Transient,
        }
    }

    /// As logs and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
            Self::Panicked => "panicked",
        }
    }
}

/// The protocol's word for how a try ended, and nothing that the service wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No reply.
    None,
    /// Of an HTTP reply.
    Http(u16),
    /// Of a gRPC reply, or what the client made of its want.
    Grpc(Code),
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Http(status) => status.fmt(f),
            // As gRPC writes them: DEADLINE_EXCEEDED.
            Self::Grpc(Code::Ok) => f.write_str("OK"),
            Self::Grpc(code) => format!("{code:?}").char_indices().try_for_each(|(at, letter)| {
                let word = if at > 0 && letter.is_ascii_uppercase() { "_" } else { "" };
                write!(f, "{word}{}", letter.to_ascii_uppercase())
            }),
        }
    }
}

/// A try that is under way. One that is dropped was abandoned, or the worker panicked.
#[derive(Debug)]
pub struct Call<'a> {
    metrics: &'a Metrics,
    service: Service,
    method: &'static str,
    since: Instant,
    ended: bool,
    /// The record's, for a future that is dropped is in no context.
    context: Context,
    span: Option<Span>,
}

impl<'a> Call<'a> {
    /// Begins a try of `method`, in the service's own words, at a server.
    pub fn begin(metrics: &'a Metrics, service: Service, method: &'static str, server: &Url) -> Self {
        let span = traces::call(|| describe::call(service, method, server));
        let (since, context) = (Instant::now(), Context::current());
        Self { metrics, service, method, since, ended: false, context, span }
    }

    /// What the service must be sent to go on with the trace: `traceparent` and `tracestate`, `x-trace-id`, and
    /// `x-amzn-trace-id` for what AWS puts before it.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        let context = self.context.span();
        let span = self.span.as_ref().map_or(context.span_context(), |span| span.span_context());
        if !span.is_valid() {
            return headers;
        }
        let (trace_id, span_id) = (span.trace_id().to_string(), span.span_id().to_string());
        let (time, unique) = trace_id.split_at(8);
        let sampled = if span.is_sampled() { "1" } else { "0" };
        let fields = [
            ("traceparent", ["00-", &trace_id, "-", &span_id, "-0", sampled].concat()),
            ("tracestate", span.trace_state().header()),
            (
                "x-amzn-trace-id",
                ["Root=1-", time, "-", unique, ";Parent=", &span_id, ";Sampled=", sampled].concat(),
            ),
            ("x-trace-id", trace_id),
        ];
        let fits = |value: &str| (1..=LONGEST_FIELD).contains(&value.len());
        for (name, value) in fields.into_iter().filter(|(_, value)| fits(value)) {
            // A tracestate may hold what no header can.
            headers.extend(HeaderValue::try_from(value).map(|value| (HeaderName::from_static(name), value)));
        }
        headers
    }

    /// Tells how it ended, and why that is no success; no word of the service is in the reason.
    pub fn end(mut self, status: Status, outcome: CallOutcome, reason: Option<&dyn Display>) {
        self.tell(status, outcome, reason);
    }

    fn tell(&mut self, status: Status, outcome: CallOutcome, reason: Option<&dyn Display>) {
        self.ended = true;
        let took = self.since.elapsed();
        self.metrics.call_ended(self.service, outcome, took);
        if let Some(span) = &mut self.span {
            describe::end_call(span, status, outcome, reason);
        }
        tracing::debug!(
            service = self.service.as_str(),
            method = self.method,
            %status,
            result = outcome.as_str(), // `outcome` is the summary line's
            duration_ms = took.as_micros() as f64 / 1_000.0,
            "service called"
        );
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _record = self.context.clone().attach();
            let (outcome, reason) = if thread::panicking() {
                (CallOutcome::Panicked, "the worker panicked")
            } else {
                (CallOutcome::Abandoned, "no time left to wait for it")
            };
            self.tell(Status::None, outcome, Some(&reason));
        }
    }
}
