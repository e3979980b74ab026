//! Which trace a record belongs to (contract section 8).

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_aws::trace::xray_propagator::span_context_from_str;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::record::Record;

/// The producer's trace: message attribute `traceparent`, then system attribute `AWSTraceHeader`, then a
/// 32-digit `trace_id` in the body. What cannot be read is passed over: telemetry never costs an event.
pub fn producer(record: &Record, in_body: Option<&str>) -> Option<TraceId> {
    w3c(record.traceparent.as_deref())
        .or_else(|| xray(record.xray_header.as_deref()))
        .or_else(|| TraceId::from_hex(in_body.filter(|id| id.len() == 32)?).ok())
        .filter(|id| *id != TraceId::INVALID)
}

/// The trace of an X-Ray header, such as the invocation's own.
pub fn xray(header: Option<&str>) -> Option<TraceId> {
    span_context_from_str(header?).map(|context| context.trace_id())
}

fn w3c(traceparent: Option<&str>) -> Option<TraceId> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent?.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    Some(context.span().span_context().trace_id()).filter(|id| *id != TraceId::INVALID)
}
