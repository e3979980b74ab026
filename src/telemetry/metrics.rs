//! Metrics: recorded in memory while records are processed, and sent after the response (contract section 8). They
//! neither delay a response nor make it fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::call::{AttemptOutcome, Service};
use crate::event::EventType;
use crate::outcome::OutcomeLabel;
use crate::reason::Reason;

mod catalogue;
mod distribution;
mod period;
mod recorder;

pub use catalogue::{Dimension, Metric};
use catalogue::{UNKNOWN_TYPE, WorkflowLabel};
pub(super) use period::{Period, Series, SeriesData};
use recorder::Recorder;

/// The service level objective: an event should be done within this time after it was sent to the queue.
const IN_TIME: Duration = Duration::from_secs(60);

/// Where metrics are recorded; the default records nothing. Clones record in the same place.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<Recorder>>>);

/// What is measured of a completed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetrics {
    /// The type of its event, if it could be read.
    pub event_type: Option<EventType>,
    /// The outcome.
    pub outcome: OutcomeLabel,
    /// The time from the start of its work to its completion; `None` if it was not started.
    pub duration: Option<Duration>,
    /// The time since the message was sent to the queue, if the record says when that was.
    pub age: Option<Duration>,
    /// The time since the event happened, if the event says when that was.
    pub lateness: Option<Duration>,
    /// The reason code, if the record is returned.
    pub reason: Option<Reason>,
    /// Whether it becomes a dead letter.
    pub is_dead_letter: bool,
}

impl Metrics {
    /// A recorder without any values yet.
    pub fn recording() -> Self {
        Self(Some(Arc::new(Mutex::new(Recorder::new(SystemTime::now())))))
    }

    /// An invocation of this version of the function begins at `now`. `is_cold` means that it is the first one of its
    /// process.
    pub fn invocation_begun(&self, is_cold: bool, function_version: Option<&str>, now: SystemTime) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.begin(function_version, now);
        if is_cold {
            recorder.current().record(Metric::ColdStart, [], 1);
        }
    }

    /// A batch begins, with this number of records.
    pub fn batch_begun(&self, records: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::BatchSize, [], records as u64);
    }

    /// The largest number of records of a batch that were in progress at once.
    pub fn peak_in_progress(&self, records: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::ActiveCount, [], records as u64);
    }

    /// A record was completed.
    pub fn record_finished(&self, record: RecordMetrics) {
        let RecordMetrics { event_type, outcome, duration, age, lateness, reason, is_dead_letter } = record;
        let Some(mut recorder) = self.recorder() else { return };
        let label = event_type.map_or(UNKNOWN_TYPE, |event_type| event_type as usize);
        let period = recorder.current();
        period.record(Metric::Events, [label, outcome as usize], 1);
        if let Some(age) = age {
            period.record(Metric::EventAge, [label], age.as_millis() as u64);
        }
        if let Some(lateness) = lateness {
            period.record(Metric::EventLateness, [label], lateness.as_millis() as u64);
        }
        let is_done = matches!(outcome, OutcomeLabel::Success | OutcomeLabel::Superseded);
        if is_done && age.is_some_and(|age| age <= IN_TIME) {
            period.record(Metric::InTime, [], 1);
        }
        let is_heartbeat = event_type == Some(EventType::WorkerHeartbeat) && outcome == OutcomeLabel::Ignored;
        if is_heartbeat {
            period.record(Metric::Heartbeat, [], 1);
        }
        if let Some(duration) = duration {
            period.record(Metric::Latency, [label], duration.as_micros() as u64);
            let understood = event_type.filter(|_| outcome != OutcomeLabel::InvalidPayload);
            if let Some(workflow) = understood.and_then(WorkflowLabel::of) {
                let labels = [workflow as usize, outcome as usize];
                period.record(Metric::Processing, labels, duration.as_micros() as u64);
            }
        }
        if let Some(reason) = reason {
            period.record(Metric::Returned, [reason as usize], 1);
            if is_dead_letter {
                period.record(Metric::DeadLetters, [label, reason as usize], 1);
            }
        }
        let is_misconfigured = reason.is_some_and(Reason::is_misconfiguration);
        recorder.is_urgent |= is_heartbeat || is_misconfigured || is_dead_letter;
    }

    /// An attempt of a call has ended.
    pub fn attempt_ended(&self, service: Service, outcome: AttemptOutcome, duration: Duration) {
        let Some(mut recorder) = self.recorder() else { return };
        let labels = [service as usize, outcome as usize];
        recorder.current().record(Metric::Downstream, labels, duration.as_micros() as u64);
    }

    /// A breaker has opened or has made a call wait.
    pub fn breaker_open(&self, service: Service) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::BreakerOpen, [service as usize], 1);
        recorder.is_urgent = true;
    }

    /// The visibility time-outs of this number of messages could not be changed.
    pub fn visibility_errors(&self, messages: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::VisibilityErrors, [], messages as u64);
    }

    /// Whether something was recorded that is sent at shorter intervals (1 s), because an alarm depends on it.
    pub(super) fn is_urgent(&self) -> bool {
        self.recorder().is_some_and(|recorder| recorder.is_urgent)
    }

    /// Takes everything that was recorded, oldest first.
    pub(super) fn take(&self) -> VecDeque<Period> {
        self.recorder().map(|mut recorder| recorder.take()).unwrap_or_default()
    }

    /// Stores again what could not be sent.
    pub(super) fn put_back(&self, unsent: VecDeque<Period>) {
        if let Some(mut recorder) = self.recorder() {
            recorder.put_back(unsent);
        }
    }

    fn recorder(&self) -> Option<MutexGuard<'_, Recorder>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
