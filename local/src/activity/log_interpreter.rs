//! Derives the completed records and the states of the breakers from the log lines.

use std::collections::{BTreeMap, HashMap};

use reservation_worker_local::event_source::LogLine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{AttemptLine, DEAD_LETTER, INTERRUPTED, Record, Summary};
use crate::pipeline::MAX_RETRIES;

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

/// The breaker of a process for a service, and its limit of attempts in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Breaker {
    /// The breaker is open: records wait, and only probes are sent.
    is_open: bool,
    /// The number of attempts in progress at once is limited, because attempts have ended by their time-outs.
    is_limited: bool,
}

/// What one log line means.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// A record has ended, or its delivery was interrupted.
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
        let Some(process) = line.process else { return self.interruption(&line.json) };
        if let Ok(summary) = Summary::deserialize(&line.json) {
            let is_dead = summary.reason_code.is_some() && summary.message == DEAD_LETTER;
            return self.record(Some(process), summary, is_dead);
        }
        if let Ok(attempt) = AttemptLine::deserialize(&line.json) {
            return self.attempt(process, attempt);
        }
        if let Ok(line) = BreakerLine::deserialize(&line.json) {
            self.breaker(process, line);
        }
        Meaning::Other
    }

    /// A line of the event source mapping, which may be about a delivery to which the function gave no response.
    fn interruption(&mut self, line: &Value) -> Meaning {
        let mut line = line.clone();
        line["outcome"] = INTERRUPTED.into();
        line["reason"] = line["message"].clone();
        let Ok(mut summary) = Summary::deserialize(&line) else { return Meaning::Other };
        let is_dead = summary.attempt >= MAX_RETRIES;
        summary.reason += if is_dead {
            ", so the queue moves the record to the dead-letter queue"
        } else {
            ", so the queue delivers the record again"
        };
        // The sample's outcome is no longer expected, because this delivery may have done a part of the work.
        self.expected.remove(&summary.message_id);
        let process = line["process"].as_u64().and_then(|process| process.try_into().ok());
        self.record(process, summary, is_dead)
    }

    fn record(&mut self, process: Option<u32>, mut summary: Summary, is_dead: bool) -> Meaning {
        self.count += 1;
        // `ID` is the placeholder for the message in the commands of the advice.
        let with_id = |advice: String| advice.replace(" ID`", &format!(" {}`", summary.message_id));
        summary.advice = summary.advice.take().filter(|_| is_dead).map(with_id);
        let attempts =
            process.and_then(|process| self.attempts.remove(&(process, summary.message_id.clone())));
        let began = summary.began();
        Meaning::Record(Box::new(Record {
            number: self.count,
            is_dead,
            process,
            expected: self.expected.remove(&summary.message_id),
            call_attempts: attempts.into_iter().flatten().map(|attempt| attempt.attempt(began)).collect(),
            summary,
        }))
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
            "attempts limited" => breaker.is_limited = true,
            "attempts no longer limited" => breaker.is_limited = false,
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
