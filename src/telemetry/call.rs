//! What is reported about one attempt of a call to a service: its metric, its span and its debug line. Also the headers
//! that carry the trace to the service.

use std::fmt::Display;
use std::thread;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, TraceContextExt};
use opentelemetry_sdk::trace::Span;
use tokio::time::Instant;
use url::Url;

use crate::call::{AttemptOutcome, ReplyStatus, Service};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{self, describe};

/// The longest header that is sent, in bytes. W3C recommends that a `tracestate` of up to this length is passed on. A
/// longer one is not sent: the producer chooses its length, and a server that rejects it would reject each attempt of
/// a valid record.
const MAX_HEADER: usize = 512;

/// The capacity of the map of headers. No request has more, including those that its client adds.
const HEADER_CAPACITY: usize = 12;

/// An attempt in progress. If it is dropped before [`end`](Self::end), it was abandoned, or the worker panicked.
#[derive(Debug)]
pub struct AttemptInProgress<'a> {
    metrics: &'a Metrics,
    service: Service,
    method: &'static str,
    began: Instant,
    ended: bool,
    /// The trace context of the record. It is stored, because there is no current context while a future is dropped.
    context: Context,
    span: Option<Span>,
}

impl<'a> AttemptInProgress<'a> {
    /// Begins an attempt of a call to `server`. `method` is the HTTP method or the name of the gRPC method.
    pub fn begin(metrics: &'a Metrics, service: Service, method: &'static str, server: &Url) -> Self {
        let span = traces::attempt(|| describe::attempt(service, method, server));
        let (began, context) = (Instant::now(), Context::current());
        Self { metrics, service, method, began, ended: false, context, span }
    }

    /// The headers that carry the trace to the service: `traceparent` and `tracestate`, `x-trace-id`, and
    /// `x-amzn-trace-id` for AWS services in front of the service.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADER_CAPACITY);
        let context = self.context.span();
        let span = self.span.as_ref().map_or(context.span_context(), |span| span.span_context());
        if !span.is_valid() {
            return headers;
        }
        let (trace_id, span_id) = (span.trace_id().to_string(), span.span_id().to_string());
        let (time, unique) = trace_id.split_at(8);
        let sampled = if span.is_sampled() { "1" } else { "0" };
        let fields: [(&str, &[&str]); 4] = [
            ("traceparent", &["00-", &trace_id, "-", &span_id, "-0", sampled]),
            ("tracestate", &[&span.trace_state().header()]),
            ("x-amzn-trace-id", &["Root=1-", time, "-", unique, ";Parent=", &span_id, ";Sampled=", sampled]),
            ("x-trace-id", &[&trace_id]),
        ];
        // All values share one buffer.
        let mut buffer = BytesMut::with_capacity(256);
        for (name, parts) in fields {
            parts.iter().for_each(|part| buffer.extend_from_slice(part.as_bytes()));
            let value = buffer.split().freeze();
            if !(1..=MAX_HEADER).contains(&value.len()) {
                continue;
            }
            // A tracestate may contain characters that a header cannot.
            let Ok(mut value) = HeaderValue::from_maybe_shared(value) else { continue };
            // HTTP/2 does not store sensitive values in its header table. Trace ids rarely repeat, so they would replace
            // useful entries there.
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }

    /// Reports how the attempt ended, and the reason if it failed. The reason contains no text of the service.
    pub fn end(mut self, status: ReplyStatus, outcome: AttemptOutcome, reason: Option<&dyn Display>) {
        self.report(status, outcome, reason);
    }

    fn report(&mut self, status: ReplyStatus, outcome: AttemptOutcome, reason: Option<&dyn Display>) {
        self.ended = true;
        let duration = self.began.elapsed();
        self.metrics.attempt_ended(self.service, outcome, duration);
        if let Some(span) = &mut self.span {
            describe::end_attempt(span, status, outcome, reason);
        }
        tracing::debug!(
            service = self.service.as_str(),
            method = self.method,
            %status,
            result = outcome.as_str(), // the field `outcome` belongs to the summary line
            duration_ms = duration.as_micros() as f64 / 1_000.0,
            "attempt of a call ended"
        );
    }
}

impl Drop for AttemptInProgress<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _record = self.context.clone().attach();
            let (outcome, reason) = if thread::panicking() {
                (AttemptOutcome::Panicked, "the worker panicked")
            } else {
                (AttemptOutcome::Abandoned, "there was no time left to wait for the reply")
            };
            self.report(ReplyStatus::None, outcome, Some(&reason));
        }
    }
}
