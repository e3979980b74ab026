//! How many attempts of calls to a service a process makes at once (contract section 6): congestion control, as in TCP.
//!
//! An overloaded service replies so late that its callers give up, but it still works on their requests. If the callers
//! continue with as many attempts as before, all of its work is wasted, even after the cause of the overload has ended.
//! A breaker alone does not prevent this: when it closes, the backlog overloads the service again. Therefore a process
//! halves the number of its attempts in progress when an attempt ends by its time-out, and increases it while attempts
//! succeed. A failure before the time-out does not reduce the limit, because it says nothing about the load.

use std::time::Duration;

use sqs_batch::ClockReading;

use crate::reason::Reason;

/// A time-out reduces the limit to this share of the attempts in progress, or of the limit if that is lower.
const REDUCTION: f64 = 0.5;
/// Each success adds this to a limit of one attempt or more. A success doubles a lower limit.
const GROWTH: f64 = 0.1;
/// The lowest limit.
const LEAST: f64 = 1.0 / 8.0;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The number of attempts in progress, and its limit.
#[derive(Debug, Default)]
pub struct Limit {
    in_progress: u32,
    /// `None`: no limit.
    reduced: Option<Reduced>,
}

#[derive(Debug, Clone, Copy)]
struct Reduced {
    /// The largest number of attempts in progress. If it is less than one, a pause follows each attempt, so that an
    /// attempt is in progress for this share of the time.
    limit: f64,
    /// The limit ends when it has grown to this number of attempts.
    final_limit: f64,
    reduced_at: ClockReading,
    /// The reason code of the time-out.
    reason: Reason,
    /// When the last attempt ended.
    last_attempt_ended: ClockReading,
    /// How long the next attempt must wait after that time.
    pause: Duration,
}

impl Limit {
    /// The reason code of the time-out that caused the limit, if there is a limit.
    pub fn reason(&self) -> Option<Reason> {
        self.reduced.map(|reduced| reduced.reason)
    }

    /// How long an attempt must wait, and the reason code of the time-out that caused the limit; `None` if it need not
    /// wait. The time is [`Duration::MAX`] if another attempt must end first.
    pub fn wait(&self, now: ClockReading) -> Option<(Duration, Reason)> {
        let reduced = self.reduced?;
        if f64::from(self.in_progress) + 1.0 > reduced.limit.max(1.0) {
            return Some((Duration::MAX, reduced.reason));
        }
        let left = reduced.pause.saturating_sub(now.since(reduced.last_attempt_ended));
        (!left.is_zero()).then_some((left, reduced.reason))
    }

    /// Counts an attempt that begins.
    pub fn begin(&mut self) {
        self.in_progress += 1;
    }

    /// Reduces the limit after a time-out of an attempt that began at `began`. This must be called before
    /// [`end`](Self::end), so that the attempts in progress still include this one.
    pub fn reduce(&mut self, began: ClockReading, now: ClockReading, reason: Reason) {
        // An attempt that began before the last reduction says nothing about the reduced limit.
        if self.reduced.is_some_and(|reduced| began.instant < reduced.reduced_at.instant) {
            return;
        }
        let in_progress = f64::from(self.in_progress);
        let (limit, final_limit) =
            self.reduced.map_or((in_progress, in_progress), |reduced| (reduced.limit, reduced.final_limit));
        let limit = (limit.min(in_progress) * REDUCTION).max(LEAST);
        let (final_limit, pause) = (final_limit.max(in_progress), pause(limit, now.since(began)));
        self.reduced =
            Some(Reduced { limit, final_limit, reduced_at: now, reason, last_attempt_ended: now, pause });
    }

    /// Increases the limit after a success of an attempt that began at `began`. Returns whether the limit has ended.
    pub fn grow(&mut self, began: ClockReading, now: ClockReading) -> bool {
        let Some(reduced) = &mut self.reduced else { return false };
        reduced.limit += if reduced.limit < 1.0 { reduced.limit } else { GROWTH };
        (reduced.last_attempt_ended, reduced.pause) = (now, pause(reduced.limit, now.since(began)));
        let has_ended = reduced.limit >= reduced.final_limit;
        if has_ended {
            self.reduced = None;
        }
        has_ended
    }

    /// Permits at least one attempt at a time without a pause. This is for the end of an outage, because the time-outs
    /// of an outage are no sign of overload.
    pub fn resume(&mut self) {
        if let Some(reduced) = &mut self.reduced {
            (reduced.limit, reduced.pause) = (reduced.limit.max(1.0), Duration::ZERO);
        }
    }

    /// Counts an attempt that ends.
    pub fn end(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }
}

/// The pause after an attempt of this duration, under a limit of `limit` attempts.
fn pause(limit: f64, duration: Duration) -> Duration {
    duration.mul_f64((1.0 / limit - 1.0).max(0.0)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Duration = Duration::from_millis(100);
    const TIME_OUT: Option<Reason> = Some(Reason::InventoryUnavailable);

    /// Attempts of 100 ms, which begin and end together.
    struct Attempts {
        limit: Limit,
        now: ClockReading,
    }

    impl Attempts {
        fn new() -> Self {
            Self { limit: Limit::default(), now: ClockReading::now() }
        }

        fn pass(&mut self, time: Duration) {
            self.now = ClockReading { instant: self.now.instant + time, time: self.now.time + time };
        }

        /// Begins as many attempts as the limit permits, at most 10, and ends them. Returns their number, and whether
        /// the limit has ended.
        fn run(&mut self, time_out: Option<Reason>) -> (usize, bool) {
            let began = self.now;
            let attempts = (0..10).take_while(|_| {
                let begins = self.limit.wait(began).is_none();
                if begins {
                    self.limit.begin();
                }
                begins
            });
            let number = attempts.count();
            self.pass(ATTEMPT);
            let mut has_ended = false;
            for _ in 0..number {
                match time_out {
                    Some(reason) => self.limit.reduce(began, self.now, reason),
                    None => has_ended |= self.limit.grow(began, self.now),
                }
                self.limit.end();
            }
            (number, has_ended)
        }
    }

    #[test]
    fn attempts_are_not_limited_until_one_times_out() {
        let mut attempts = Attempts::new();
        assert_eq!([(); 3].map(|()| attempts.run(None)), [(10, false); 3]);
        assert_eq!(attempts.limit.reason(), None);
    }

    #[test]
    fn time_outs_halve_the_number_of_attempts_once_per_round() {
        let mut attempts = Attempts::new();
        assert_eq!([(); 4].map(|()| attempts.run(TIME_OUT).0), [10, 5, 2, 1]);
        assert_eq!(attempts.limit.reason(), TIME_OUT);
    }

    #[test]
    fn the_limit_grows_with_each_success_until_it_ends() {
        let mut attempts = Attempts::new();
        attempts.run(TIME_OUT);
        let rounds: Vec<_> =
            std::iter::from_fn(|| Some(attempts.run(None))).take_while(|(_, ended)| !ended).collect();
        assert_eq!(rounds.iter().map(|(number, _)| number).collect::<Vec<_>>(), [&5, &5, &5, &6, &7, &7, &8]);
        assert_eq!((attempts.run(None), attempts.limit.reason()), ((10, false), None));
    }

    #[test]
    fn a_limit_below_one_attempt_adds_a_pause_of_at_most_seven_times_the_attempt() {
        let mut attempts = Attempts::new();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            attempts.run(TIME_OUT);
            let pause = attempts.limit.wait(attempts.now).map_or(Duration::ZERO, |(pause, _)| pause);
            pauses.push(pause.as_millis());
            attempts.pass(pause);
        }
        assert_eq!(pauses, [0, 0, 0, 100, 300, 700, 700, 700]);
    }

    #[test]
    fn no_pause_is_longer_than_five_seconds() {
        assert_eq!(pause(LEAST, Duration::from_secs(3)), Duration::from_secs(5));
    }

    #[test]
    fn a_limit_below_one_attempt_doubles_with_each_success_and_ends_its_pause_when_an_outage_ends() {
        let mut attempts = Attempts::new();
        let limit = |attempts: &Attempts| attempts.limit.reduced.unwrap().limit;
        for _ in 0..12 {
            attempts.run(TIME_OUT);
            attempts.pass(LONGEST_PAUSE);
        }
        assert_eq!(limit(&attempts), LEAST);
        attempts.run(None);
        assert_eq!(limit(&attempts), 2.0 * LEAST);
        assert!(attempts.limit.wait(attempts.now).is_some());
        attempts.limit.resume();
        assert_eq!((limit(&attempts), attempts.limit.wait(attempts.now)), (1.0, None));
    }
}
