//! Spans (contract section 8): made while an invocation is worked on, kept until its response is out, then
//! sent.
//!
//! The invocation's span stands in Lambda's own trace; a record's in its producer's trace, linked to the
//! invocation's; a call's below its record's. Whether a trace is sampled, its producer has decided, or else
//! Lambda.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lambda_runtime::Context as Invocation;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_aws::trace::XrayIdGenerator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use rustls::RootCertStore;
use tokio::time::timeout;

use crate::config::Config;
use crate::record::Record;
use crate::telemetry::metrics::ClockReading;
use crate::telemetry::unsent::{LONGEST, LONGEST_FIRST};

pub mod describe;
mod parent;
mod sink;
mod xray;

pub use parent::Parent;
use sink::{Destination, Sink};

/// An invocation's memory is not ours alone.
const MOST_SPANS: usize = 4_096;
/// A collector that failed is not asked again for so long, for each time is billed.
const REST: Duration = Duration::from_secs(30);

/// Makes spans and keeps them until they are sent.
///
/// With nowhere to send them there are none, and a record's calls carry its producer's context as it came.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    tracer: SdkTracer,
    kept: Kept,
    destination: Destination,
    /// Made for the first span that is sent; `None` if it cannot be made.
    sink: OnceLock<Option<Sink>>,
    /// When spans could not be sent, the last time. Held while they are, so that whoever sends the last ones
    /// waits for those on their way.
    failed: tokio::sync::Mutex<Option<ClockReading>>,
}

/// In the context of an invocation whose spans are kept.
#[derive(Debug)]
struct Tracing {
    tracer: SdkTracer,
    request_id: String,
}

impl Traces {
    /// Spans go by OTLP if the configuration says where to, else to the X-Ray daemon if there is one, else
    /// nowhere. `https://` collectors are checked against `roots`.
    pub fn new(config: &Config, roots: &RootCertStore) -> Self {
        Self(Destination::of(config, roots).map(|destination| Arc::new(Recording::new(destination))))
    }

    /// Begins the invocation's span; what is returned is the parent of all that the invocation does.
    pub fn invocation(&self, invocation: &Invocation, is_cold: bool) -> Context {
        let mut context = Context::new();
        if let Some(parent) = Parent::xray(invocation.xray_trace_id.as_deref()) {
            context = context.with_remote_span_context(parent.span_context(true));
        }
        let Some(Recording { tracer, .. }) = self.0.as_deref() else { return context };
        let describe = || describe::invocation(invocation, is_cold);
        let span = begin(tracer, SpanKind::Consumer, &context, describe);
        let (tracer, request_id) = (tracer.clone(), invocation.request_id.clone());
        context.with_span(span).with_value(Tracing { tracer, request_id })
    }

    /// To be called when the response of an invocation is out: sends the spans that have ended. Takes 500 ms
    /// at most, 2 s the first time, and never more than is `left` of the invocation's time.
    pub async fn after_response(&self, left: Duration, now: ClockReading) {
        let is_first = self.0.as_deref().is_some_and(|recording| recording.sink.get().is_none());
        self.flush(left.min(if is_first { LONGEST_FIRST } else { LONGEST }), now).await;
    }

    /// Sends the spans that have ended, and gives up after `within`.
    pub async fn flush(&self, within: Duration, now: ClockReading) {
        // Without time nothing is lost yet, and no collector to blame.
        let Some(recording) = self.0.as_deref().filter(|_| !within.is_zero()) else { return };
        let Ok(mut failed) = timeout(within, recording.failed.lock()).await else { return };
        let spans = mem::take(&mut *recording.kept.lock());
        if spans.is_empty() || failed.is_some_and(|failed| now.since(failed) < REST) {
            return;
        }
        let number = spans.len();
        let sent = timeout(within, recording.send(spans)).await;
        if let Err(reason) = sent.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            *failed = Some(now);
            tracing::debug!(number, reason, "not all of these spans arrived");
        }
    }
}

/// Begins a record's span, in the trace of its producer if it has one, below the invocation's; what is
/// returned is the parent of its calls. `more` is asked for only if the trace is sampled.
pub fn record(
    record: &Record,
    producer: Option<&Parent>,
    of: &Context,
    more: impl FnOnce() -> Vec<KeyValue>,
) -> Context {
    let invocation = of.span().span_context().clone();
    let context = match producer {
        Some(parent) => {
            let sampled = if invocation.is_valid() { invocation.is_sampled() } else { true };
            of.with_remote_span_context(parent.span_context(sampled))
        }
        None => of.clone(),
    };
    let Some(Tracing { tracer, request_id }) = of.get() else { return context };
    let describe = || {
        let (name, mut attributes) = describe::record(record, request_id);
        attributes.extend(more());
        (name, attributes)
    };
    let mut span = begin(tracer, SpanKind::Consumer, &context, describe);
    if producer.is_some() {
        span.add_link(invocation, Vec::new());
    }
    context.with_span(span)
}

/// Begins a span below the current one, if there are spans.
pub(super) fn call(describe: impl FnOnce() -> (String, Vec<KeyValue>)) -> Option<Span> {
    Context::map_current(|context| {
        Some(begin(&context.get::<Tracing>()?.tracer, SpanKind::Client, context, describe))
    })
}

/// An unsampled span has ids to pass on, and costs no more than those.
fn begin(
    tracer: &SdkTracer,
    kind: SpanKind,
    parent: &Context,
    describe: impl FnOnce() -> (String, Vec<KeyValue>),
) -> Span {
    // As the sampler decides.
    let is_sampled = !parent.has_active_span() || parent.span().span_context().is_sampled();
    let (name, attributes) = if is_sampled { describe() } else { Default::default() };
    let span = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
    tracer.build_with_context(span, parent)
}

impl Recording {
    fn new(destination: Destination) -> Self {
        let kept = Kept::default();
        let tracers = SdkTracerProvider::builder()
            .with_resource(Resource::builder_empty().build()) // the sink has the true one
            .with_id_generator(XrayIdGenerator::default())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_span_processor(kept.clone())
            .build();
        Self {
            tracer: tracers.tracer(env!("CARGO_PKG_NAME")),
            kept,
            destination,
            sink: OnceLock::new(),
            failed: tokio::sync::Mutex::default(),
        }
    }

    async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        let sink = self.sink.get_or_init(|| Sink::new(&self.destination).ok());
        sink.as_ref().ok_or("the exporter cannot be made")?.send(spans).await
    }
}

/// Spans that have ended and wait to be sent. The library's own processors send from a thread of theirs,
/// which a frozen function does not run, or while the span's work waits.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut kept = self.lock();
        // The invocation's ends last, and others name it.
        kept.truncate(MOST_SPANS - 1);
        kept.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
