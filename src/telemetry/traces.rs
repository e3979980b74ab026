//! Spans (contract section 8): made while an invocation is processed and buffered until its response was posted.
//!
//! The span of an invocation belongs to Lambda's own trace. The span of a record belongs to the trace of its producer
//! and is linked to the span of the invocation. The span of a call is a child of its record's span. The producer
//! decides whether its trace is sampled; if it has not decided, Lambda does.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambda_runtime::Context as LambdaContext;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_aws::trace::XrayIdGenerator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use sqs_batch::Record;

use crate::job::Job;

pub mod describe;
mod parent;

pub use parent::Parent;

/// The largest number of spans in the buffer, because the memory of a function is limited.
const MOST_SPANS: usize = 4_096;

/// Makes spans and buffers them until they are sent.
///
/// The default makes none. Then the calls of a record carry the context of its producer unchanged.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    tracer: SdkTracer,
    ended: EndedSpans,
}

/// Stored in the context of an invocation if spans are made.
#[derive(Debug)]
struct Tracing {
    tracer: SdkTracer,
    request_id: String,
}

impl Traces {
    /// Makes spans.
    pub fn recording() -> Self {
        let ended = EndedSpans::default();
        let tracers = SdkTracerProvider::builder()
            .with_resource(Resource::builder_empty().build()) // the exporter adds the resource
            .with_id_generator(XrayIdGenerator::default())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_span_processor(ended.clone())
            .build();
        Self(Some(Arc::new(Recording { tracer: tracers.tracer(env!("CARGO_PKG_NAME")), ended })))
    }

    /// Begins the span of an invocation. Returns the context of the invocation, from which [`record`] makes the context
    /// of each record.
    pub fn invocation(&self, lambda: &LambdaContext, is_cold: bool) -> Context {
        let mut context = Context::new();
        if let Some(parent) = Parent::xray(lambda.xray_trace_id.as_deref()) {
            context = context.with_remote_span_context(parent.span_context(true));
        }
        let Some(Recording { tracer, .. }) = self.0.as_deref() else { return context };
        let describe = || describe::invocation(lambda, is_cold);
        let span = begin(tracer, SpanKind::Consumer, &context, describe);
        let (tracer, request_id) = (tracer.clone(), lambda.request_id.clone());
        context.with_span(span).with_value(Tracing { tracer, request_id })
    }

    /// Takes the spans that have ended.
    pub(super) fn take_ended(&self) -> Vec<SpanData> {
        let Some(Recording { ended, .. }) = self.0.as_deref() else { return Vec::new() };
        let mut ended = ended.lock();
        // The next batch probably has as many spans, so this vector need not grow.
        let next = Vec::with_capacity(ended.len());
        mem::replace(&mut *ended, next)
    }
}

/// Begins the span of a record, in the trace of its producer if there is one, otherwise below the span of the
/// invocation. Returns the parent of its calls.
pub fn record(
    record: &Record,
    job: Option<&Job>,
    producer: Option<&Parent>,
    invocation: &Context,
) -> Context {
    let invocation_span = invocation.span().span_context().clone();
    let context = match producer {
        Some(parent) => {
            let sampled = if invocation_span.is_valid() { invocation_span.is_sampled() } else { true };
            invocation.with_remote_span_context(parent.span_context(sampled))
        }
        None => invocation.clone(),
    };
    let Some(Tracing { tracer, request_id }) = invocation.get() else { return context };
    let mut span = begin(tracer, SpanKind::Consumer, &context, || describe::record(record, job, request_id));
    if producer.is_some() {
        span.add_link(invocation_span, Vec::new());
    }
    context.with_span(span)
}

/// Begins a span below the current one, if spans are made.
pub(super) fn attempt(describe: impl FnOnce() -> (String, Vec<KeyValue>)) -> Option<Span> {
    Context::map_current(|context| {
        Some(begin(&context.get::<Tracing>()?.tracer, SpanKind::Client, context, describe))
    })
}

/// Begins a span. A span that is not sampled only provides ids for the headers of calls, so `describe` is not called.
fn begin(
    tracer: &SdkTracer,
    kind: SpanKind,
    parent: &Context,
    describe: impl FnOnce() -> (String, Vec<KeyValue>),
) -> Span {
    // The sampler makes the same decision.
    let is_sampled = !parent.has_active_span() || parent.span().span_context().is_sampled();
    let (name, attributes) = if is_sampled { describe() } else { Default::default() };
    let span = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
    tracer.build_with_context(span, parent)
}

/// The buffer of spans that have ended. It replaces the span processors of the library. One of them sends from its
/// own thread, which does not run while the function is frozen. The other sends while the code that ends the span
/// waits.
#[derive(Debug, Clone, Default)]
struct EndedSpans(Arc<Mutex<Vec<SpanData>>>);

impl EndedSpans {
    fn lock(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanProcessor for EndedSpans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut ended = self.lock();
        // The span of the invocation ends last and must fit, because other spans refer to it.
        ended.truncate(MOST_SPANS - 1);
        ended.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
