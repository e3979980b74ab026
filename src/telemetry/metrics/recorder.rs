//! What was recorded and not yet sent, one period per minute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::period::Period;

/// The largest number of periods that are stored while CloudWatch cannot be reached. The oldest ones are merged, so
/// that memory is bounded and nothing is lost.
const MAX_PERIODS: usize = 5;

/// The periods that were recorded and not yet sent.
#[derive(Debug)]
pub(super) struct Recorder {
    /// The version of the function, once an invocation has reported it.
    function_version: Option<Arc<str>>,
    /// The oldest one first. New values are recorded in the last one.
    periods: VecDeque<Period>,
    /// Whether something was recorded that is sent at shorter intervals (1 s), because an alarm depends on it: a
    /// heartbeat, a dead letter, an open breaker, or a record that was returned because of a misconfiguration.
    pub(super) is_urgent: bool,
}

impl Recorder {
    pub(super) fn new(now: SystemTime) -> Self {
        Self { function_version: None, periods: [Period::new(now)].into(), is_urgent: false }
    }

    /// An invocation of this version of the function begins.
    pub(super) fn begin(&mut self, function_version: Option<&str>, now: SystemTime) {
        if self.function_version.is_none() {
            self.function_version = function_version.map(Arc::from);
        }
        let current = self.current();
        if current.is_empty {
            current.began = now;
        } else if minute(current.began) != minute(now) {
            self.periods.push_back(Period::new(now));
            self.merge_old_periods();
        }
    }

    /// The period in which new values are recorded.
    pub(super) fn current(&mut self) -> &mut Period {
        if self.periods.back().is_none_or(|last| last.sent > 0) {
            self.periods.push_back(Period::new(SystemTime::now()));
        }
        let last = self.periods.len() - 1;
        &mut self.periods[last]
    }

    /// Takes everything, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Period> {
        self.is_urgent = false;
        let mut periods = std::mem::take(&mut self.periods);
        periods.retain(|period| !period.is_empty);
        // If a period was sent in part, its data must stay the same.
        for period in periods.iter_mut().filter(|period| period.sent == 0) {
            period.function_version.clone_from(&self.function_version);
        }
        periods
    }

    /// Stores again what could not be sent.
    pub(super) fn put_back(&mut self, mut unsent: VecDeque<Period>) {
        for newer in self.periods.drain(..).filter(|period| !period.is_empty) {
            match unsent.back_mut() {
                Some(older) if older.sent == 0 && minute(older.began) == minute(newer.began) => {
                    older.merge(&newer);
                }
                _ => unsent.push_back(newer),
            }
        }
        self.periods = unsent;
        self.merge_old_periods();
    }

    fn merge_old_periods(&mut self) {
        while self.periods.len() > MAX_PERIODS {
            // Only the oldest period can have been sent in part.
            let oldest = usize::from(self.periods[0].sent > 0);
            if let Some(newer) = self.periods.remove(oldest + 1) {
                self.periods[oldest].merge(&newer);
            }
        }
    }
}

fn minute(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}
