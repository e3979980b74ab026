//! What `make local` shows in the terminal: each record as it ends, and the current numbers in the last line.

use std::io::{self, IsTerminal, Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use textwrap::Options;
use tokio::time::timeout;

use crate::activity::{Activity, Overview, Record};
use crate::options::Failure;
use crate::pipeline::Pipeline;
use crate::words::{count, filled, fitted, width};

/// The largest number of records that an update shows. If more have ended since the last update, it shows the last ones
/// and the number of the others.
const MAX_RECORDS: usize = 100;
/// A queue that does not reply must not keep the program running.
const END_LIMIT: Duration = Duration::from_secs(3);
const CLEAR_LINE: &str = "\r\x1b[K";

/// Shows the activity of a pipeline.
pub(super) struct Terminal {
    pipeline: Arc<Pipeline>,
    activity: Arc<Activity>,
    /// The address of the console.
    console: Option<String>,
    /// The number of the last record that was shown.
    shown: u64,
    /// The number of the last warning that was shown, and its text.
    warning: (u64, String),
}

impl Terminal {
    pub(super) fn new(pipeline: Arc<Pipeline>, activity: Arc<Activity>, console: Option<String>) -> Self {
        Self { pipeline, activity, console, shown: 0, warning: Default::default() }
    }

    /// Shows the records that have ended since the last call, and the current numbers.
    pub(super) fn update(&mut self) -> Result<(), Failure> {
        let width = width(stdout());
        let history = self.activity.history();
        let last = history.last_record();
        let records = history.records_after(self.shown, MAX_RECORDS).map(|record| text(record, width));
        let records: String = records.collect();
        let hidden = (last - self.shown).saturating_sub(MAX_RECORDS as u64);
        let mut warnings = String::new();
        for (number, time, warning) in history.warnings_after(self.warning.0) {
            // The same failure of many invocations is shown once.
            if warning != self.warning.1 {
                warnings +=
                    &paragraph(&format!("{} warning: {warning}", time_of_day(time)), width, "", "    ");
            }
            self.warning = (number, warning.to_owned());
        }
        let numbers = numbers(history.overview());
        drop(history);
        let mut status = self.activity.tool_build.progress().unwrap_or(numbers);
        // The address is left out if it does not fit.
        if let Some(url) = &self.console
            && status.len() + 2 + url.len() < width
        {
            status += &format!("  {url}");
        }
        self.shown = last;
        let mut out = stdout().lock();
        let is_terminal = out.is_terminal();
        if is_terminal {
            write!(out, "{CLEAR_LINE}")?;
        }
        if hidden > 0 {
            writeln!(out, "... {hidden} more records")?;
        }
        // A record that was delivered again after a failure comes after the warning about this failure.
        write!(out, "{warnings}{records}")?;
        if is_terminal {
            // A line as wide as the terminal would wrap.
            write!(out, "{}", status.chars().take(width - 1).collect::<String>())?;
        }
        Ok(out.flush()?)
    }

    /// Prints what is left in the queues when the pipeline is stopped.
    pub(super) async fn end(&self) {
        let start = if stdout().is_terminal() { CLEAR_LINE } else { "" };
        let text = match timeout(END_LIMIT, left_behind(&self.pipeline)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => format!("Stopped. What is left in the queues is not known: {error}"),
            Err(_elapsed) => {
                "Stopped. What is left in the queues is not known: SQS does not reply.".to_owned()
            }
        };
        println!("{start}{}", fitted(&text, stdout()));
    }
}

/// The record in one line, and in further lines why it was returned. Of a dead letter also what to do.
fn text(record: &Record, width: usize) -> String {
    let summary = &record.summary;
    let time = time_of_day(&summary.time);
    let subject = summary.reservation_id.as_ref().unwrap_or(&summary.message_id);
    let attempt = if summary.attempt > 1 { format!(" (receive {})", summary.attempt) } else { String::new() };
    // The type of an interrupted record is not known.
    let space = if summary.event_type.is_empty() { "" } else { " " };
    let line = format!("{time} {}{space}{subject}: {}{attempt}", summary.event_type, summary.outcome);
    let reason = summary.reason_code.as_ref().map(|code| format!("{code}: {}", summary.reason));
    let advice = summary.advice.as_ref().map(|advice| format!("advice: {advice}"));
    let dead = record.is_dead.then(|| "It goes to the dead-letter queue.".to_owned());
    let explanation: String = [reason, dead, advice]
        .into_iter()
        .flatten()
        .map(|text| paragraph(&text, width, "    ", "      "))
        .collect();
    paragraph(&line, width, "", "    ") + &explanation
}

/// The time of day of a time in RFC 3339.
fn time_of_day(time: &str) -> &str {
    time.get(11..19).unwrap_or_default()
}

fn paragraph(text: &str, width: usize, first: &str, rest: &str) -> String {
    // Control characters are replaced, because the text could come from a body.
    let text: String = text.chars().map(|char| if is_hidden(char) { '\u{fffd}' } else { char }).collect();
    filled(&text, Options::new(width).initial_indent(first).subsequent_indent(rest)) + "\n"
}

/// Whether the character moves the cursor, changes the direction of the text, or is invisible.
fn is_hidden(char: char) -> bool {
    let is_direction = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || is_direction
}

/// The current numbers, in less than 80 characters if none has more than four digits. Usually, there is also space for
/// the address of the console.
fn numbers(overview: &Overview) -> String {
    if let Some(error) = &overview.queue_error {
        return error.clone();
    }
    let queue = overview.queue;
    format!(
        "{} ready, {} waiting, {} in flight, {} dead, {}",
        queue.ready,
        queue.waiting,
        queue.in_flight,
        queue.dead,
        count(overview.processes.len(), "process", "processes"),
    )
}

/// The text about what is left in the queues when the pipeline is stopped.
async fn left_behind(pipeline: &Pipeline) -> io::Result<String> {
    let (visible, not_visible) = pipeline.queue.depth().await?;
    let dead = pipeline.queue.dead_count().await?;
    let messages = count(visible + not_visible, "message was", "messages were");
    let messages = format!("Stopped. {messages} in the queue, and {dead} in the dead-letter queue.");
    if pipeline.sqs.is_started_here() {
        return Ok(format!("{messages}\nThey are gone, and so are the services with their reservations."));
    }
    let (url, dlq_url) = (&pipeline.queue.url, &pipeline.queue.dlq_url);
    Ok(format!(
        "{messages}\nThe queues still exist. Delete them if you do not need them:\n  {url}\n  {dlq_url}"
    ))
}
