//! Metrics: recorded in memory while records are worked on, sent when the response is out (contract
//! section 8). Neither delays a response nor fails it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{Config, MetricsSink};
use crate::event::EventType;
use crate::outcome::Label;
use crate::reason::Reason;
use crate::telemetry::call::{CallOutcome, Service};

mod catalogue;
mod cloudwatch;
mod distribution;
mod emf;
mod pace;
mod period;
mod recorder;
mod sink;

pub use catalogue::{Dimension, Metric};
use catalogue::{Handler, UNKNOWN_TYPE};
pub use pace::ClockReading;
use period::Period;
use recorder::Recorder;
pub use sink::Sink;

/// Where metrics are recorded, by default nowhere; its clones record in the same place.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Option<Arc<Mutex<Recorder>>>);

/// That a record has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEnded {
    /// Its type, if that much was understood.
    pub event_type: Option<EventType>,
    /// How it ended.
    pub outcome: Label,
    /// How long it was worked on; `None` if it never was.
    pub worked: Option<Duration>,
    /// How long ago it was sent, if the queue said.
    pub age: Option<Duration>,
    /// Why it becomes a dead letter, if it does.
    pub dead_letter: Option<Reason>,
}

impl Metrics {
    /// Records nothing if `METRICS_SINK` is `none`.
    pub fn new(config: &Config) -> Self {
        let is_on = config.metrics_sink != MetricsSink::None;
        Self(is_on.then(|| Arc::new(Mutex::new(Recorder::new(SystemTime::now())))))
    }

    /// An invocation begins, the first of its process or not.
    pub fn invocation_begun(&self, is_cold: bool, now: SystemTime) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.begin(now);
        if is_cold {
            recorder.current().record(Metric::ColdStart, [], 1);
        }
    }

    /// A batch of so many records begins.
    pub fn batch_begun(&self, records: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::BatchSize, [], records as u64);
    }

    /// So many records of the batch were in flight at once.
    pub fn peak_in_flight(&self, records: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::ActiveCount, [], records as u64);
    }

    /// A record has ended.
    pub fn record_ended(&self, record: RecordEnded) {
        let RecordEnded { event_type, outcome, worked, age, dead_letter } = record;
        let Some(mut recorder) = self.recorder() else { return };
        let label = event_type.map_or(UNKNOWN_TYPE, |event_type| event_type as usize);
        let period = recorder.current();
        period.record(Metric::Events, [label, outcome as usize], 1);
        if let Some(age) = age {
            period.record(Metric::EventAge, [label], age.as_millis() as u64);
        }
        if let Some(worked) = worked {
            period.record(Metric::Latency, [label], worked.as_micros() as u64);
            let understood = event_type.filter(|_| outcome != Label::InvalidPayload);
            if let Some(handler) = understood.and_then(Handler::of) {
                let labels = [handler as usize, outcome as usize];
                period.record(Metric::Processing, labels, worked.as_micros() as u64);
            }
        }
        if let Some(reason) = dead_letter {
            period.record(Metric::DeadLetters, [label, reason as usize], 1);
            recorder.is_urgent = true;
        }
    }

    /// A try of a call has ended.
    pub fn call_ended(&self, service: Service, outcome: CallOutcome, took: Duration) {
        let Some(mut recorder) = self.recorder() else { return };
        let labels = [service as usize, outcome as usize];
        recorder.current().record(Metric::Downstream, labels, took.as_micros() as u64);
    }

    /// A breaker has opened, or has turned a call away.
    pub fn breaker_open(&self, service: Service) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::BreakerOpen, [service as usize], 1);
        recorder.is_urgent = true;
    }

    /// So many visibility time-outs could not be changed.
    pub fn visibility_errors(&self, messages: usize) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.current().record(Metric::VisibilityErrors, [], messages as u64);
    }

    fn is_urgent(&self) -> bool {
        self.recorder().is_some_and(|recorder| recorder.is_urgent)
    }

    /// What was recorded, oldest first.
    fn take(&self) -> VecDeque<Period> {
        self.recorder().map(|mut recorder| recorder.take()).unwrap_or_default()
    }

    fn put_back(&self, unsent: VecDeque<Period>) {
        if let Some(mut recorder) = self.recorder() {
            recorder.put_back(unsent);
        }
    }

    fn recorder(&self) -> Option<MutexGuard<'_, Recorder>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
