//! How many calls to a service a process makes at once (contract section 6): congestion control, as in TCP.
//!
//! An overloaded service replies so late that its callers give up, but it still works on their requests. If the callers go
//! on with as many calls as before, all of its work is wasted, even after the cause of the overload has ended. A breaker
//! alone does not prevent this: when it closes, the backlog overloads the service again. Therefore a process halves the
//! number of its calls when a call finds the service unavailable or misconfigured, and increases it slowly while calls
//! succeed.
//!
//! A call in this file is one attempt of a call.

use std::time::Duration;

use sqs_batch::ClockReading;

use crate::reason::Reason;

/// A failure reduces the limit to this share of the calls in progress.
const REDUCTION: f64 = 0.5;
/// Each success adds this to a limit of one call or more, and this share to a lower limit.
const GROWTH: f64 = 0.1;
/// The lowest limit.
const LEAST: f64 = 1.0 / 64.0;

/// The calls in progress, and their limit.
#[derive(Debug)]
pub struct Limit {
    longest_pause: Duration,
    in_progress: u32,
    /// `None`: no limit.
    reduced: Option<Reduced>,
}

#[derive(Debug, Clone, Copy)]
struct Reduced {
    /// The largest number of calls in progress. If it is less than one, a pause follows each call, so that a call is in
    /// progress for this share of the time.
    calls: f64,
    /// The number of calls at which the limit ends.
    until: f64,
    /// When it was last reduced, and the reason code of that failure.
    at: ClockReading,
    reason: Reason,
    /// The end of the last call, and the pause after it.
    pause: (ClockReading, Duration),
}

impl Limit {
    /// No limit. A pause between two calls will never be longer than `longest_pause`.
    pub fn new(longest_pause: Duration) -> Self {
        Self { longest_pause, in_progress: 0, reduced: None }
    }

    /// The reason code of the failure that caused the limit, if there is a limit.
    pub fn reason(&self) -> Option<Reason> {
        self.reduced.map(|reduced| reduced.reason)
    }

    /// Whether a call must wait: how long, and the reason code of the failure that caused the limit. The time is
    /// [`Duration::MAX`] if another call must end first.
    pub fn wait(&self, now: ClockReading) -> Option<(Duration, Reason)> {
        let Reduced { calls, reason, pause: (began, pause), .. } = self.reduced?;
        if f64::from(self.in_progress) + 1.0 > calls.max(1.0) {
            return Some((Duration::MAX, reason));
        }
        let left = pause.saturating_sub(now.since(began));
        (!left.is_zero()).then_some((left, reason))
    }

    /// Counts a call that begins.
    pub fn begin(&mut self) {
        self.in_progress += 1;
    }

    /// Adapts the limit to the result of a call, before [`end`](Self::end) is called for it: the reason code if the call
    /// failed. Returns whether the limit has ended.
    pub fn adapt(&mut self, began: ClockReading, now: ClockReading, failure: Option<Reason>) -> bool {
        let in_progress = f64::from(self.in_progress);
        let mut reduced = match (self.reduced, failure) {
            (None, None) => return false,
            (Some(reduced), None) => {
                Reduced { calls: reduced.calls + GROWTH * reduced.calls.min(1.0), ..reduced }
            }
            // A call that began before the last reduction says nothing about the reduced limit.
            (Some(reduced), Some(_)) if began.instant < reduced.at.instant => reduced,
            (reduced, Some(reason)) => {
                let (calls, until) =
                    reduced.map_or((in_progress, in_progress), |reduced| (reduced.calls, reduced.until));
                let calls = (calls.min(in_progress) * REDUCTION).max(LEAST);
                Reduced {
                    calls,
                    until: until.max(in_progress),
                    at: now,
                    reason,
                    pause: (now, Duration::ZERO),
                }
            }
        };
        let pause = now.since(began).mul_f64((1.0 / reduced.calls - 1.0).max(0.0));
        reduced.pause = (now, pause.min(self.longest_pause));
        let has_ended = reduced.calls >= reduced.until;
        self.reduced = (!has_ended).then_some(reduced);
        has_ended
    }

    /// Counts a call that ends.
    pub fn end(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);
    const FAILURE: Option<Reason> = Some(Reason::InventoryUnavailable);

    /// Calls of 100 ms, all of them at the same time.
    struct Calls {
        limit: Limit,
        now: ClockReading,
    }

    impl Calls {
        fn new() -> Self {
            Self { limit: Limit::new(LONGEST_PAUSE), now: ClockReading::now() }
        }

        fn pass(&mut self, time: Duration) {
            self.now = ClockReading { instant: self.now.instant + time, time: self.now.time + time };
        }

        /// Begins as many calls as the limit permits, at most 10, and ends them. Returns their number, and whether the limit
        /// has ended.
        fn run(&mut self, failure: Option<Reason>) -> (usize, bool) {
            let began = self.now;
            let calls = (0..10).take_while(|_| {
                let begins = self.limit.wait(began).is_none();
                if begins {
                    self.limit.begin();
                }
                begins
            });
            let number = calls.count();
            self.pass(CALL);
            let mut has_ended = false;
            for _ in 0..number {
                has_ended |= self.limit.adapt(began, self.now, failure);
                self.limit.end();
            }
            (number, has_ended)
        }
    }

    #[test]
    fn calls_are_not_limited_until_one_fails() {
        let mut calls = Calls::new();
        assert_eq!([(); 3].map(|()| calls.run(None)), [(10, false); 3]);
        assert_eq!(calls.limit.reason(), None);
    }

    #[test]
    fn failures_halve_the_number_of_calls_once_per_round() {
        let mut calls = Calls::new();
        assert_eq!([(); 4].map(|()| calls.run(FAILURE).0), [10, 5, 2, 1]);
        assert_eq!(calls.limit.reason(), FAILURE);
    }

    #[test]
    fn the_limit_grows_with_each_success_until_it_ends() {
        let mut calls = Calls::new();
        calls.run(FAILURE);
        let rounds: Vec<_> =
            std::iter::from_fn(|| Some(calls.run(None))).take_while(|(_, ended)| !ended).collect();
        assert_eq!(rounds.iter().map(|(number, _)| number).collect::<Vec<_>>(), [&5, &5, &5, &6, &7, &7, &8]);
        assert_eq!((calls.run(None), calls.limit.reason()), ((10, false), None));
    }

    #[test]
    fn below_one_call_a_pause_follows_each_call_and_has_a_limit() {
        let mut calls = Calls::new();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            calls.run(FAILURE);
            let pause = calls.limit.wait(calls.now).map_or(Duration::ZERO, |(pause, _)| pause);
            pauses.push(pause.as_millis());
            calls.pass(pause);
        }
        assert_eq!(pauses, [0, 0, 0, 100, 300, 700, 1_500, 3_100, 5_000, 5_000, 5_000, 5_000]);
    }
}
