//! The most recent records, log lines and spans, and the current numbers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reservation_worker_local::Services;
use reservation_worker_local::event_source::{LogLine, RunningProcess, Stats};
use reservation_worker_local::trace_receivers::Span;
use serde::Serialize;
use serde_json::Value;

use super::invariants::Checks;
use super::log_interpreter::{LogInterpreter, Meaning, line_contains};
use super::overview::{Overview, ProcessState};
use super::queue_depth::QueueDepth;
use super::record::{INTERRUPTED, Record, Summary};
use crate::pipeline::VISIBILITY_TIMEOUT;

/// The largest numbers of records, log lines and spans that are stored.
const MAX_RECORDS: usize = 20_000;
const MAX_LINES: usize = 10_000;
const MAX_SPANS: usize = 20_000;

/// The shortest time between two readings of all reservations, which take some milliseconds for each thousand.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What happened, up to the last observation.
#[derive(Debug, Default)]
pub(crate) struct History {
    records: VecDeque<Record>,
    lines: VecDeque<NumberedLine>,
    spans: VecDeque<Span>,
    line_count: u64,
    last_dead: u64,
    interpreter: LogInterpreter,
    checks: Checks,
    queue_changes_are_logged: bool,
    /// When the messages that wait in the queue can be received again, in milliseconds since 1970, by message id.
    visible_at: HashMap<String, u64>,
    overview: Overview,
    /// The overview at the end of the last update.
    announced: Overview,
    /// The revision of the services that `checks` has read, and when.
    checked: Option<(usize, Instant)>,
    /// The revision of the services when the last observation found the queue empty; `None` if it was not empty.
    empty_at: Option<usize>,
}

/// A log line with its number, which counts from 1.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NumberedLine {
    number: u64,
    process: Option<u32>,
    line: Value,
}

impl History {
    /// `queue_changes_are_logged`: whether the endpoint logs what others do with its queues. Only the local SQS does.
    pub(super) fn new(queue_changes_are_logged: bool) -> Self {
        Self { queue_changes_are_logged, ..Self::default() }
    }

    pub(crate) fn overview(&self) -> &Overview {
        &self.overview
    }

    /// The number of the last record; 0 if there is none.
    pub(crate) fn last_record(&self) -> u64 {
        self.records.back().map_or(0, |record| record.number)
    }

    /// The number of the last record whose receives are used up; 0 if there is none.
    pub(crate) fn last_dead(&self) -> u64 {
        self.last_dead
    }

    /// The records after this number, oldest first. If there are more than `limit`, only the last ones.
    pub(crate) fn records_after(&self, number: u64, limit: usize) -> impl Iterator<Item = &Record> {
        let new = self.records.iter().rev().take_while(|record| record.number > number).count();
        self.records.iter().skip(self.records.len() - new.min(limit))
    }

    /// The records that match, oldest first.
    pub(crate) fn find(&self, matches: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.records.iter().filter(|record| matches(record)).cloned().collect()
    }

    /// The last delivery of each of these messages, by message id. If it was interrupted after its outcome was logged,
    /// this is the record with the outcome.
    pub(crate) fn last_deliveries<'a>(&'a self, ids: &HashSet<&str>) -> HashMap<&'a str, &'a Record> {
        let mut last = HashMap::<&str, &Record>::new();
        for record in &self.records {
            let Summary { message_id, attempt, outcome, .. } = &record.summary;
            let has_outcome =
                last.get(message_id.as_str()).is_some_and(|last| last.summary.attempt == *attempt);
            if ids.contains(message_id.as_str()) && !(outcome == INTERRUPTED && has_outcome) {
                last.insert(message_id, record);
            }
        }
        last
    }

    /// The last `limit` log lines that contain this text, oldest first.
    pub(crate) fn lines(&self, text: &str, limit: usize) -> Vec<NumberedLine> {
        let lines = self.lines.iter().rev();
        let matching = lines.filter(|line| text.is_empty() || line_contains(&line.line, text));
        let mut lines: Vec<_> = matching.take(limit).cloned().collect();
        lines.reverse();
        lines
    }

    /// The line of the last delivery of a message that was returned and has not been acknowledged since.
    pub(super) fn last_line(&self, message_id: &str) -> Option<&Value> {
        self.checks.last_line(message_id)
    }

    /// The warnings of the event source mapping after this line number, oldest first: number, time, and message.
    pub(crate) fn warnings_after(&self, number: u64) -> impl Iterator<Item = (u64, &str, &str)> {
        let new = self.lines.iter().filter(move |line| line.number > number && line.process.is_none());
        new.filter_map(|NumberedLine { number, line, .. }| {
            Some((*number, line["timestamp"].as_str()?, line["message"].as_str()?))
        })
    }

    /// The spans of a trace.
    pub(crate) fn trace(&self, trace_id: &str) -> Vec<Span> {
        self.spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }

    /// Counts messages that the console has sent.
    pub(crate) fn sent(&mut self, messages: usize) {
        self.overview.sent += messages;
    }

    /// Sets the outcomes that messages are expected to have.
    pub(crate) fn expect(&mut self, outcomes: impl IntoIterator<Item = (String, String)>) {
        for (message_id, outcome) in outcomes {
            self.interpreter.expect(message_id, outcome);
        }
    }

    /// Notes that the console has deleted messages from the dead-letter queue or moved them back.
    pub(crate) fn removed(&mut self, message_ids: &[String]) {
        message_ids.iter().for_each(|id| self.checks.removed(id));
    }

    /// Whether a message is known to have been deleted from the dead-letter queue or moved back.
    pub(crate) fn is_removed(&self, message_id: &str) -> bool {
        self.checks.is_removed(message_id)
    }

    pub(super) fn add_spans(&mut self, spans: Vec<Span>) {
        // The resource is the same for all spans of a process, and is not shown.
        self.spans.extend(spans.into_iter().map(|span| Span { resource: BTreeMap::new(), ..span }));
        self.spans.drain(..self.spans.len().saturating_sub(MAX_SPANS));
    }

    pub(super) fn add_lines(&mut self, mut lines: Vec<LogLine>) {
        // The lines come from several processes. All times have the same format, so that their texts can be compared.
        lines.sort_by(|a, b| a.json["timestamp"].as_str().cmp(&b.json["timestamp"].as_str()));
        for line in lines {
            let meaning = self.interpreter.add(&line);
            self.overview.count(&meaning);
            if let Meaning::Record(record) = meaning {
                let summary = &record.summary;
                match summary.reason_code {
                    Some(_) => self.checks.returned(&summary.message_id, &line.json),
                    // The record may be completed, by this delivery or a later one, so the invariants ignore this delivery.
                    None if summary.outcome == INTERRUPTED && record.is_dead => {}
                    None if summary.outcome == INTERRUPTED => {
                        let visible_at = summary.began() + VISIBILITY_TIMEOUT.as_secs_f64() * 1_000.0;
                        self.visible_at.insert(summary.message_id.clone(), visible_at as u64);
                    }
                    None => self.checks.finished(&summary.message_id),
                }
                if record.is_dead {
                    self.last_dead = record.number;
                }
                self.records.push_back(*record);
            }
            self.line_count += 1;
            let LogLine { process, json } = line;
            self.lines.push_back(NumberedLine { number: self.line_count, process, line: json });
        }
        self.records.drain(..self.records.len().saturating_sub(MAX_RECORDS));
        self.lines.drain(..self.lines.len().saturating_sub(MAX_LINES));
    }

    /// `changes` are the lines that the local SQS has logged since the last call (`moto.py`).
    pub(super) fn set_depth(
        &mut self,
        depth: Result<QueueDepth, String>,
        revision: usize,
        changes: &[Value],
    ) {
        for line in changes {
            if let Some(id) = line["deleted_dead_letter"].as_str() {
                self.checks.removed(id);
            }
            if let (Some(id), Some(at)) = (line["message_id"].as_str(), line["visible_at"].as_u64()) {
                self.visible_at.insert(id.to_owned(), at);
            }
        }
        let (depth, error) = match depth {
            Ok(depth) => (depth, None),
            Err(error) => (self.overview.queue, Some(error)),
        };
        let is_empty = error.is_none() && depth.unfinished() == 0;
        self.checks.set_quiet(is_empty && self.empty_at == Some(revision));
        self.empty_at = is_empty.then_some(revision);
        (self.overview.queue, self.overview.queue_error) = (depth, error);
    }

    /// Reads the current numbers. Returns whether the overview has changed since the last update. A span, or a log line
    /// that changes no number, is not enough.
    pub(super) fn update(&mut self, stats: Stats, running: &[RunningProcess], services: &Services) -> bool {
        self.interpreter.retain_processes(|pid| running.iter().any(|process| process.pid == pid));
        let revision = services.revision();
        let overview = &mut self.overview;
        let is_due = self.checked.is_none_or(|(read, at)| read != revision && at.elapsed() >= CHECK_INTERVAL);
        if is_due {
            let reservations = services.reservations().into_iter();
            let with_seats = reservations.map(|reservation| {
                let seats = services.seat_state(&reservation.reservation_id);
                (reservation, seats)
            });
            overview.statuses = self.checks.read(with_seats);
            self.checked = Some((revision, Instant::now()));
        }
        let is_current = self.checked.is_some_and(|(read, _)| read == revision);
        let process = |process| ProcessState::new(process, self.interpreter.breakers(process.pid));
        overview.processes = running.iter().map(process).collect();
        overview.mapping = stats.into();
        overview.faults = services.faults();
        overview.invariants =
            self.checks.invariants(overview.queue, is_current, self.queue_changes_are_logged);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.visible_at.retain(|_, at| u128::from(*at) > now);
        overview.next_delivery =
            self.visible_at.values().min().copied().filter(|_| self.queue_changes_are_logged);
        overview.revision = revision + overview.queue.dead;
        let has_changed = self.overview != self.announced;
        self.announced.clone_from(&self.overview);
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delivery_that_was_interrupted_after_its_outcome_keeps_its_reason() {
        let line = |process, fields: Value| {
            let mut json = json!({
                "timestamp": "2026-11-27T12:00:00Z", "message": "m", "message_id": "m1", "attempt": 5, "duration_ms": 1.0,
            });
            json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            LogLine { process, json }
        };
        let outcome = json!({ "outcome": "failed", "reason": "paid", "reason_code": "paid_but_expired" });
        let mut history = History::new(true);
        history.add_lines(vec![line(Some(1), outcome), line(None, json!({ "process": 1 }))]);

        assert_eq!(history.last_record(), 2, "both are records");
        let last = history.last_deliveries(&HashSet::from(["m1"]));
        assert_eq!(last["m1"].summary.reason_code.as_deref(), Some("paid_but_expired"));
    }
}
