//! The parent of a span: the span of the producer, from one of four carriers, or Lambda's own (contract section 8).
//!
//! A malformed carrier is ignored, because telemetry must not fail an event.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_aws::trace::xray_propagator::span_context_from_str;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sqs_batch::Record;

/// A span of another program, as far as its carrier describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    trace_id: TraceId,
    span_id: Option<SpanId>,
    sampled: Option<bool>,
    state: TraceState,
}

impl Parent {
    /// The span of the producer: from the message attributes `traceparent` and `tracestate`, otherwise from the
    /// system attribute `AWSTraceHeader`, otherwise from 32 hex digits in the message attribute `TraceId`, which the
    /// Go worker read, otherwise from a `trace_id` of 32 hex digits in the body.
    pub fn producer(record: &Record, in_body: Option<&str>) -> Option<Self> {
        w3c(record.text_attribute("traceparent"), record.text_attribute("tracestate"))
            .or_else(|| Self::xray(record.xray_trace_header.as_deref()))
            .or_else(|| by_hex(record.text_attribute("TraceId")))
            .or_else(|| by_hex(in_body))
    }

    /// The span of an X-Ray header, such as that of the invocation.
    pub fn xray(header: Option<&str>) -> Option<Self> {
        let header = header?;
        let field = |name| header.split(';').find_map(|part| part.trim().strip_prefix(name));
        let (time, unique) = field("Root=1-")?.split_once('-')?;
        // The library does not check the number of digits.
        let well_formed = is_hex(time, 8) && is_hex(unique, 24);
        let context = span_context_from_str(header).filter(|_| well_formed)?;
        Some(Self {
            span_id: Some(context.span_id()).filter(|id| *id != SpanId::INVALID),
            sampled: field("Sampled=").and_then(|decision| match decision {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            }),
            ..by_trace_id(context.trace_id())?
        })
    }

    /// The context of the span. `sampled` applies if the other program has not decided.
    ///
    /// If the carrier names no span, its id is derived from the id of the trace: X-Ray does not accept the span of a
    /// record without a parent, and all records of a trace get the same one.
    pub fn span_context(&self, sampled: bool) -> SpanContext {
        let derived = || {
            let [.., a, b, c, d, e, f, g, h] = self.trace_id.to_bytes();
            SpanId::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1))
        };
        let flags = TraceFlags::default().with_sampled(self.sampled.unwrap_or(sampled));
        let span_id = self.span_id.unwrap_or_else(derived);
        SpanContext::new(self.trace_id, span_id, flags, true, self.state.clone())
    }

    /// The id of the trace in the format of X-Ray.
    pub fn xray_trace_id(&self) -> String {
        let id = self.trace_id.to_string();
        format!("1-{}-{}", &id[..8], &id[8..])
    }
}

fn w3c(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Parent> {
    let traceparent = traceparent?;
    let parts: Vec<_> = traceparent.split('-').collect();
    // The library does not check the number of digits.
    let well_formed =
        parts.len() >= 4 && [2, 32, 16, 2].iter().zip(&parts).all(|(length, part)| is_hex(part, *length));
    let fields = [("traceparent", traceparent), ("tracestate", tracestate.unwrap_or_default())];
    let carrier: HashMap<_, _> =
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let context = context.span().span_context().clone();
    (well_formed && context.is_valid()).then(|| Parent {
        trace_id: context.trace_id(),
        span_id: Some(context.span_id()),
        sampled: Some(context.is_sampled()),
        state: context.trace_state().clone(),
    })
}

fn by_hex(trace_id: Option<&str>) -> Option<Parent> {
    by_trace_id(TraceId::from_hex(trace_id.filter(|id| is_hex(id, 32))?).ok()?)
}

fn by_trace_id(trace_id: TraceId) -> Option<Parent> {
    let parent = Parent { trace_id, span_id: None, sampled: None, state: TraceState::NONE };
    (trace_id != TraceId::INVALID).then_some(parent)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
