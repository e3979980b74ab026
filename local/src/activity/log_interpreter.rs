//! Derives the completed records and the states of the breakers from the log lines.

use std::collections::{BTreeMap, HashMap};

use reservation_worker_local::event_source::LogLine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{AttemptLine, Record, Summary};

/// Interprets log lines one after the other. What later lines refer to is stored.
#[derive(Debug, Default)]
pub(crate) struct LogInterpreter {
    /// The attempts for records that have not ended, by process and message id.
    attempts: HashMap<(u32, String), Vec<AttemptLine>>,
    /// By process and service.
    breakers: BTreeMap<(u32, String), Breaker>,
    /// The outcomes that sample events expect, by message id.
    expected: HashMap<String, String>,
    /// The number of records up to now.
    count: u64,
}

/// Whether the breaker of a process permits calls to a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Breaker {
    /// The breaker is open: records wait, and only probes are sent.
    is_open: bool,
    /// The number of calls at once is limited after time-outs.
    is_limited: bool,
}

/// What one log line means.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// A record has ended.
    Record(Box<Record>),
    /// An attempt of a call has ended.
    Attempt {
        service: String,
        /// Whether the call had failed before, so that this attempt was a retry.
        is_retry: bool,
        has_failed: bool,
    },
    Other,
}

#[derive(Deserialize)]
struct BreakerLine {
    message: String,
    service: String,
}

impl LogInterpreter {
    /// Sets the outcome that the first delivery of a message must have.
    pub(crate) fn expect(&mut self, message_id: String, outcome: String) {
        self.expected.insert(message_id, outcome);
    }

    /// The states of the breakers of a process, by service.
    pub(crate) fn breakers(&self, process: u32) -> BTreeMap<String, Breaker> {
        let of_process = self.breakers.iter().filter(|((pid, _), _)| *pid == process);
        of_process.map(|((_, service), state)| (service.clone(), *state)).collect()
    }

    /// Forgets everything about processes that do not run any more.
    pub(crate) fn retain_processes(&mut self, runs: impl Fn(u32) -> bool) {
        self.attempts.retain(|(pid, _), _| runs(*pid));
        self.breakers.retain(|(pid, _), _| runs(*pid));
    }

    /// Interprets the next line.
    pub(crate) fn add(&mut self, line: &LogLine) -> Meaning {
        let Some(process) = line.process else { return Meaning::Other };
        if let Ok(summary) = Summary::deserialize(&line.json) {
            return Meaning::Record(Box::new(self.record(process, summary)));
        }
        if let Ok(attempt) = AttemptLine::deserialize(&line.json) {
            return self.attempt(process, attempt);
        }
        if let Ok(line) = BreakerLine::deserialize(&line.json) {
            self.breaker(process, line);
        }
        Meaning::Other
    }

    fn record(&mut self, process: u32, summary: Summary) -> Record {
        self.count += 1;
        let attempts = self.attempts.remove(&(process, summary.message_id.clone())).unwrap_or_default();
        let began = summary.began();
        let is_acknowledged = summary.reason_code.is_none();
        let expected = self.expected.remove(&summary.message_id);
        Record {
            number: self.count,
            is_dead: !is_acknowledged && summary.message == "record is a dead letter",
            process,
            expected,
            calls: attempts.into_iter().map(|attempt| attempt.attempt(began)).collect(),
            summary,
        }
    }

    fn attempt(&mut self, process: u32, attempt: AttemptLine) -> Meaning {
        let service = attempt.service.clone();
        let has_failed = !matches!(attempt.result.as_str(), "success" | "conflict");
        let earlier = self.attempts.entry((process, attempt.message_id.clone())).or_default();
        let is_retry = earlier.last().is_some_and(|last| last.method == attempt.method);
        earlier.push(attempt);
        Meaning::Attempt { service, is_retry, has_failed }
    }

    fn breaker(&mut self, process: u32, line: BreakerLine) {
        let breaker = self.breakers.entry((process, line.service)).or_default();
        match line.message.as_str() {
            "breaker opened" => breaker.is_open = true,
            "breaker closed" => breaker.is_open = false,
            "calls limited" => breaker.is_limited = true,
            "calls not limited any more" => breaker.is_limited = false,
            _ => {}
        }
    }
}

/// Whether the text occurs in a value of the line.
pub(crate) fn line_contains(line: &Value, text: &str) -> bool {
    line.as_object().is_some_and(|fields| {
        fields.values().any(|value| match value {
            Value::String(value) => value.contains(text),
            other => other.to_string().contains(text),
        })
    })
}
