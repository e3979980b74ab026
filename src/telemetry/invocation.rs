//! The fields that all log lines of an invocation share, and the trace context in which its records begin their spans
//! (contract section 8).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use lambda_runtime::Context as LambdaContext;
use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, WithContext};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, error_span};

use super::metrics::Metrics;
use super::traces::{Parent, Traces, describe};

/// Begins the invocations of a process. The default has neither metrics nor spans.
#[derive(Debug, Default)]
pub struct Invocations {
    metrics: Metrics,
    traces: Traces,
    is_warm: AtomicBool,
}

/// An invocation, from the arrival of its payload until the next event is requested.
#[derive(Debug, Clone)]
pub struct Invocation {
    span: Span,
    trace: Context,
}

impl Invocations {
    /// Counts cold starts in `metrics` and makes spans with `traces`.
    pub fn new(metrics: Metrics, traces: Traces) -> Self {
        Self { metrics, traces, is_warm: AtomicBool::new(false) }
    }

    /// Begins an invocation, whatever its payload is.
    pub fn begin(&self, lambda: &LambdaContext) -> Invocation {
        let cold_start = !self.is_warm.swap(true, Ordering::Relaxed);
        let function_version = Some(lambda.env_config.version.as_str()).filter(|version| !version.is_empty());
        self.metrics.invocation_begun(cold_start, function_version, SystemTime::now());
        // The span has the level error, so that no filter removes it and every line has the fields of its invocation.
        let span = error_span!(
            "invocation",
            request_id = lambda.request_id,
            xray_trace_id = Parent::xray(lambda.xray_trace_id.as_deref()).map(|own| own.xray_trace_id()),
            function_version,
            version = env!("CARGO_PKG_VERSION"),
            cold_start,
        );
        Invocation { span, trace: self.traces.invocation(lambda, cold_start) }
    }
}

impl Invocation {
    /// Runs a part of the invocation.
    pub fn in_scope<T>(&self, part: impl FnOnce() -> T) -> T {
        let _attached = self.trace.clone().attach();
        self.span.in_scope(part)
    }

    /// Runs an asynchronous part of the invocation.
    pub fn instrument<F: Future>(&self, part: F) -> WithContext<Instrumented<F>> {
        part.instrument(self.span.clone()).with_context(self.trace.clone())
    }

    /// Ends the span of the invocation with an error, unless it was ended with its batch.
    pub fn end(&self) {
        describe::end_unprocessed(&self.trace);
    }
}
