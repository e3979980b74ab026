//! The current numbers of the pipeline.

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use reservation_worker_local::event_source::{RunningProcess, Stats};
use reservation_worker_local::{Fault, Status};
use serde::Serialize;

use super::invariants::Invariant;
use super::log_interpreter::{Breaker, Meaning};
use super::queue_depth::QueueDepth;

/// The number of seconds for which the numbers per second are stored.
const SECONDS: u64 = 60;

/// The current numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Overview {
    /// The number of messages that the console has sent.
    pub(crate) sent: usize,
    pub(crate) queue: QueueDepth,
    /// Why the queues cannot be read; `None` if they can.
    pub(crate) queue_error: Option<String>,
    /// When the next of the waiting messages can be received, in milliseconds since 1970, if this is known.
    pub(crate) next_delivery: Option<u64>,
    pub(crate) mapping: Totals,
    pub(crate) processes: Vec<ProcessState>,
    /// The number of records by outcome, since the start.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// The last minute, oldest second first. A second without an entry has no attempts and no records.
    pub(crate) seconds: VecDeque<Second>,
    /// The number of reservations by status.
    pub(crate) statuses: BTreeMap<Status, usize>,
    pub(crate) invariants: Vec<Invariant>,
    /// The faults that are not used up.
    pub(crate) faults: Vec<Fault>,
    /// Changes when the services or the dead letters may have changed.
    pub(crate) revision: usize,
}

/// The totals of the event source mapping since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    done: u64,
    returned: u64,
    invocations: u64,
    timeouts: u64,
    crashes: u64,
}

impl From<Stats> for Totals {
    fn from(stats: Stats) -> Self {
        let Stats { done, returned, invocations, timeouts, crashes, .. } = stats;
        Self { done, returned, invocations, timeouts, crashes }
    }
}

/// A process of the function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProcessState {
    pid: u32,
    /// The number of records of its current invocation.
    records: usize,
    /// How long this invocation has lasted, in seconds.
    seconds: u64,
    is_frozen: bool,
    /// By service.
    breakers: BTreeMap<String, Breaker>,
}

impl ProcessState {
    pub(crate) fn new(process: &RunningProcess, breakers: BTreeMap<String, Breaker>) -> Self {
        let (records, time) = process.invocation.unwrap_or_default();
        Self { pid: process.pid, records, seconds: time.as_secs(), is_frozen: process.frozen, breakers }
    }
}

/// What happened in one second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Seconds since 1970.
    at: u64,
    /// The number of records by outcome.
    outcomes: BTreeMap<String, u64>,
    /// By service.
    attempts: BTreeMap<String, Attempts>,
}

/// The attempts of calls to a service that ended in one second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Attempts {
    total: u64,
    retries: u64,
    failures: u64,
}

impl Overview {
    /// Counts a record or an attempt that has just ended.
    pub(crate) fn count(&mut self, meaning: &Meaning) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.seconds.back().is_none_or(|last| last.at != at) {
            self.seconds.push_back(Second { at, ..Second::default() });
            self.seconds.retain(|second| second.at + SECONDS > at);
        }
        let Some(second) = self.seconds.back_mut() else { return };
        match meaning {
            Meaning::Record(record) => {
                let outcome = &record.summary.outcome;
                *second.outcomes.entry(outcome.clone()).or_default() += 1;
                *self.outcomes.entry(outcome.clone()).or_default() += 1;
            }
            Meaning::Attempt { service, is_retry, has_failed } => {
                let attempts = second.attempts.entry(service.clone()).or_default();
                attempts.total += 1;
                attempts.retries += u64::from(*is_retry);
                attempts.failures += u64::from(*has_failed);
            }
            Meaning::Other => {}
        }
    }
}
