//! What all lines and spans of an invocation have in common (contract section 8).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use lambda_runtime::Context as Invoked;
use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, WithContext};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, error_span};

use super::metrics::Metrics;
use super::traces::{Parent, Traces, describe};

/// Begins the invocations of a process; by default without metrics and spans.
#[derive(Debug, Default)]
pub struct Invocations {
    metrics: Metrics,
    traces: Traces,
    is_warm: AtomicBool,
}

/// An invocation from its payload's arrival until the next is asked for.
#[derive(Debug, Clone)]
pub struct Invocation {
    span: Span,
    trace: Context,
}

impl Invocations {
    /// Where cold starts are counted, and spans recorded.
    pub fn new(metrics: Metrics, traces: Traces) -> Self {
        Self { metrics, traces, is_warm: AtomicBool::new(false) }
    }

    /// Begins one, whatever its payload may be.
    pub fn begin(&self, invoked: &Invoked) -> Invocation {
        let cold_start = !self.is_warm.swap(true, Ordering::Relaxed);
        self.metrics.invocation_begun(cold_start, SystemTime::now());
        // Of the level that no filter takes away, so that every line says whose it is.
        let span = error_span!(
            "invocation",
            request_id = invoked.request_id,
            xray_trace_id = Parent::xray(invoked.xray_trace_id.as_deref()).map(|own| own.xray_trace_id()),
            function_version =
                Some(invoked.env_config.version.as_str()).filter(|version| !version.is_empty()),
            cold_start,
        );
        Invocation { span, trace: self.traces.invocation(invoked, cold_start) }
    }
}

impl Invocation {
    /// Does a part of it.
    pub fn within<T>(&self, part: impl FnOnce() -> T) -> T {
        let _attached = self.trace.clone().attach();
        self.span.in_scope(part)
    }

    /// The same of a part that takes time.
    pub fn around<F: Future>(&self, part: F) -> WithContext<Instrumented<F>> {
        part.instrument(self.span.clone()).with_context(self.trace.clone())
    }

    /// Ends its trace's span with an error, if the batch has not ended it.
    pub fn answered(&self) {
        describe::end_unworked(&self.trace);
    }
}
