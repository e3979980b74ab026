//! One flat JSON object a line: `timestamp`, `level`, the ids of the trace, then the fields of the spans
//! around the event, outermost first, then the event's own (contract section 8).

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{
    self as format, FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Logs this crate's events from `level` on to `writer`, and of its dependencies only warnings and
/// errors: below that they show request bodies.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets =
        Targets::new().with_default(level.min(Level::WARN)).with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = format::layer().event_format(FlatJson).fmt_fields(JsonFields::new()).with_writer(writer);
    Registry::default().with(targets).with(lines)
}

/// Makes this process log to stdout, panics included: their place, for their text may hold what must not
/// be logged.
pub fn init(level: Level) {
    // An error means that a subscriber is set already, and then that one logs.
    let _ = tracing::subscriber::set_global_default(subscriber(level, std::io::stdout));
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

/// Now, as every line has it.
pub(super) fn timestamp() -> String {
    let mut now = String::new();
    // Writing to a string cannot fail.
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
                write_members(&mut line, fields)?;
            }
        }
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        write_members(&mut line, &fields)?;
        line.write_str("}\n")
    }
}

/// Of the span that is being worked on, or else of the trace that it would be in.
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

/// The members of a JSON object, without its braces.
fn write_members(line: &mut Writer<'_>, object: &str) -> fmt::Result {
    match object.strip_prefix('{').and_then(|object| object.strip_suffix('}')) {
        None | Some("") => Ok(()),
        Some(members) => write!(line, ",{members}"),
    }
}
