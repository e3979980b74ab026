//! The log: one flat JSON object per line with `timestamp`, `level`, the ids of the trace, the fields of the spans
//! around the event (outermost first), and the fields of the event (contract section 8).

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{
    self as format, FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Logs the events of this crate that are at least as severe as `level` to `writer`. Of the dependencies only
/// warnings and errors are logged, because their other events show request bodies.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets =
        Targets::new().with_default(level.min(Level::WARN)).with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = format::layer().event_format(FlatJson).fmt_fields(Members).with_writer(writer);
    Registry::default().with(targets).with(lines)
}

/// Makes this process log to stdout. A panic is logged with its location only, because its text may contain something
/// that must not be logged.
pub fn init(level: Level) {
    // An error means that a subscriber is already set, which then stays in use.
    let _ = tracing::subscriber::set_global_default(subscriber(level, std::io::stdout));
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

/// The current time in the format of the log.
pub(super) fn timestamp() -> String {
    let mut now = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        line.write_str(r#"{"timestamp":""#)?;
        SystemTime.format_time(&mut line)?;
        write!(line, r#"","level":"{}""#, event.metadata().level())?;
        write_ids(&mut line)?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
        }
        context.format_fields(line.by_ref(), event)?;
        line.write_str("}\n")
    }
}

/// Writes the ids of the current span, or only the id of the trace if the span belongs to another program.
fn write_ids(line: &mut Writer<'_>) -> fmt::Result {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid() {
            write!(line, r#","trace_id":"{}""#, ids.trace_id())?;
        }
        if ids.is_valid() && !ids.is_remote() {
            write!(line, r#","span_id":"{}""#, ids.span_id())?;
        }
        Ok(())
    })
}

/// Formats fields as members of a JSON object.
struct Members;

impl<'w> FormatFields<'w> for Members {
    fn format_fields<R: RecordFields>(&self, mut line: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = MemberVisitor(Vec::with_capacity(512));
        fields.record(&mut members);
        line.write_str(str::from_utf8(&members.0).map_err(|_| fmt::Error)?)
    }
}

struct MemberVisitor(Vec<u8>);

impl MemberVisitor {
    fn write(&mut self, field: &Field, value: impl Serialize) {
        let Self(members) = self;
        // Writing text or a number does not fail.
        members.push(b',');
        let _ = serde_json::to_writer(&mut *members, field.name());
        members.push(b':');
        let _ = serde_json::to_writer(members, &value);
    }
}

impl Visit for MemberVisitor {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}
