//! Which trace a record belongs to (contract section 8).

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_aws::trace::xray_propagator::span_context_from_str;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::record::Record;

/// The producer's trace: message attribute `traceparent`, then system attribute `AWSTraceHeader`, then a
/// 32-digit `trace_id` in the body. What is not written as it should be is passed over: telemetry never
/// costs an event.
pub fn producer(record: &Record, in_body: Option<&str>) -> Option<TraceId> {
    w3c(record.traceparent.as_deref())
        .or_else(|| xray(record.xray_header.as_deref()))
        .or_else(|| valid(TraceId::from_hex(in_body.filter(|id| is_hex(id, 32))?).ok()?))
}

/// The trace of an X-Ray header, such as the invocation's own.
pub fn xray(header: Option<&str>) -> Option<TraceId> {
    let root = header?.split(';').find_map(|part| part.trim().strip_prefix("Root=1-"))?;
    let (time, unique) = root.split_once('-')?;
    // The library takes any number of digits.
    let well_formed = is_hex(time, 8) && is_hex(unique, 24);
    valid(span_context_from_str(header.filter(|_| well_formed)?)?.trace_id())
}

fn w3c(traceparent: Option<&str>) -> Option<TraceId> {
    let parts: Vec<_> = traceparent?.split('-').collect();
    // The library takes any number of digits.
    let well_formed =
        parts.len() >= 4 && [2, 32, 16, 2].iter().zip(&parts).all(|(length, part)| is_hex(part, *length));
    let carrier =
        HashMap::from([("traceparent".to_owned(), traceparent.filter(|_| well_formed)?.to_owned())]);
    valid(TraceContextPropagator::new().extract(&carrier).span().span_context().trace_id())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn valid(id: TraceId) -> Option<TraceId> {
    (id != TraceId::INVALID).then_some(id)
}
