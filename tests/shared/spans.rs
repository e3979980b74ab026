//! The spans of an invocation, and the log lines that belong to them.

use reservation_worker_local::trace_receivers::Span;
use serde_json::{Value, json};

/// The span of the invocation: it has the size of the batch and no message.
pub fn invocation(spans: &[Span]) -> &Span {
    let is_invocation = |span: &&Span| span.attributes.contains_key("messaging.batch.message_count");
    spans.iter().find(is_invocation).expect("a span of the invocation")
}

/// A log line has the ids of its span, and the X-Ray id, request id, version and cold start of its invocation. Each
/// occurs once.
pub fn assert_line_has_ids_of((line, text): (&Value, &str), span: &Span, invocation: [Value; 4]) {
    let [xray, request_id, version, cold_start] = invocation;
    for (name, value) in [
        ("trace_id", json!(span.trace_id)),
        ("span_id", json!(span.span_id)),
        ("xray_trace_id", xray),
        ("request_id", request_id),
        ("function_version", version),
        ("cold_start", cold_start),
    ] {
        assert_eq!(line[name], value, "{name} of {text}");
        assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name} of {text}");
    }
}
