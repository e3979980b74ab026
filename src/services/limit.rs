//! How many calls to a service a process makes at once (contract section 6): congestion control, as in TCP.
//!
//! An overloaded service replies so late that its callers give up, but it still works on their requests. If the callers go
//! on with as many calls as before, all of its work is wasted, even after the cause of the overload has ended. A breaker
//! alone does not prevent this: when it closes, the backlog overloads the service again. Therefore a process halves the
//! number of its calls when a call fails, and increases it slowly while calls succeed.

use std::time::Duration;

use sqs_batch::ClockReading;

use crate::reason::Reason;

/// A failure reduces the limit to this share of the calls in progress.
const REDUCTION: f64 = 0.5;
/// The growth of the limit in the time in which as many calls succeed as it allows at once.
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

    /// How long a call must wait; [`Duration::MAX`] if another call must end first.
    pub fn wait(&self, now: ClockReading) -> Duration {
        let Some(Reduced { calls, pause: (began, pause), .. }) = self.reduced else { return Duration::ZERO };
        if f64::from(self.in_progress) + 1.0 > calls.max(1.0) {
            return Duration::MAX;
        }
        pause.saturating_sub(now.since(began))
    }

    /// Counts a call that begins.
    pub fn begin(&mut self) {
        self.in_progress += 1;
    }

    /// Adapts the limit to the result of a call that began at `began`: the reason code if the call failed. Returns whether
    /// the limit ends.
    pub fn adapt(&mut self, began: ClockReading, failure: Option<Reason>) -> bool {
        let now = ClockReading::now();
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
                    reduced.map_or((in_progress, in_progress), |limit| (limit.calls, limit.until));
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
