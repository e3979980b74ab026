//! What is recorded and not sent yet, by the minute.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use super::period::Period;

/// While CloudWatch cannot be reached, so many minutes are kept apart; older ones are added up, so that
/// memory is bounded and nothing is lost.
const MINUTES: usize = 5;

#[derive(Debug)]
pub(super) struct Recorder {
    /// In order; the last is recorded in.
    periods: VecDeque<Period>,
    is_warm: bool,
    /// Holds what an alarm waits for.
    pub(super) is_urgent: bool,
}

impl Recorder {
    pub(super) fn new(now: SystemTime) -> Self {
        Self { periods: [Period::new(now)].into(), is_warm: false, is_urgent: false }
    }

    /// An invocation begins; whether it is the first.
    pub(super) fn begin(&mut self, now: SystemTime) -> bool {
        let current = self.current();
        if current.is_empty {
            current.began = now;
        } else if minute(current.began) != minute(now) {
            self.periods.push_back(Period::new(now));
            self.bound();
        }
        !std::mem::replace(&mut self.is_warm, true)
    }

    /// What is recorded in.
    pub(super) fn current(&mut self) -> &mut Period {
        if self.periods.is_empty() {
            self.periods.push_back(Period::new(SystemTime::now()));
        }
        let last = self.periods.len() - 1;
        &mut self.periods[last]
    }

    /// Everything, oldest first; it is recorded no more.
    pub(super) fn take(&mut self) -> VecDeque<Period> {
        self.is_urgent = false;
        let mut periods = std::mem::take(&mut self.periods);
        periods.retain(|period| !period.is_empty);
        periods
    }

    /// Takes back what could not be sent.
    pub(super) fn put_back(&mut self, mut unsent: VecDeque<Period>) {
        unsent.append(&mut self.periods);
        self.periods = unsent;
        self.bound();
    }

    fn bound(&mut self) {
        let mut place = 1;
        while place < self.periods.len() {
            let [older, newer] = [place - 1, place].map(|place| minute(self.periods[place].began));
            if older == newer || self.periods[place].is_empty {
                self.join(place);
            } else {
                place += 1;
            }
        }
        while self.periods.len() > MINUTES {
            self.join(1);
        }
    }

    /// Adds the period at this place to the one before it.
    fn join(&mut self, place: usize) {
        if let Some(joined) = self.periods.remove(place) {
            self.periods[place - 1].merge(&joined);
        }
    }
}

fn minute(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}
