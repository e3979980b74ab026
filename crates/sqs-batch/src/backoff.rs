//! How long a returned record stays invisible.

use std::time::Duration;

use crate::outcome::Redelivery;

/// SQS keeps a message invisible for at most 12 hours after its receive, and the function may already have run for 15
/// minutes of that time.
const MAX_TIMEOUT: Duration = Duration::from_secs(12 * 3_600 - 15 * 60);

/// The visibility time-outs of returned records by their receive count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// The visibility time-out after the first receive. It doubles with each receive.
    pub base: Duration,
    /// The longest time-out before the jitter is added.
    pub max: Duration,
    /// The visibility time-outs of records that are returned because of an outage
    /// ([`Redelivery::AfterOutage`](crate::Redelivery::AfterOutage)): the n-th entry after the n-th receive. The last
    /// entry repeats. If the list is empty, the usual back-off applies.
    pub outage: Vec<Duration>,
}

/// 1 s, doubling up to 15 minutes; during an outage 1 s, 30 s, then 10 minutes each time.
impl Default for Backoff {
    fn default() -> Self {
        let outage = [1, 30, 600].map(Duration::from_secs).into();
        Self { base: Duration::from_secs(1), max: Duration::from_secs(900), outage }
    }
}

/// The random numbers of one time-out. Both are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// Lengthens the time-out: 0 adds nothing, 1 adds 20 %.
    pub stretch: f64,
    /// A fraction of a second that is greater than this number is rounded up, any other one down. With a uniformly
    /// distributed number, the rounding does not change the mean of many time-outs.
    pub rounding: f64,
}

impl Backoff {
    /// The visibility time-out of a returned record in whole seconds.
    ///
    /// It is zero for a record that no retry can help, and for one that was received `max_receives` times. The queue
    /// delivers the first kind again without a wait until its receives are used up, and then moves it to its
    /// dead-letter queue. Otherwise the time-out is never shorter than the wait that a service requested (`at_least`),
    /// even if that is longer than [`max`](Self::max). The result is at most 11 h 45 min.
    pub fn visibility_timeout(
        &self,
        receive_count: u32,
        max_receives: u32,
        redelivery: Redelivery,
        jitter: Jitter,
    ) -> i32 {
        if receive_count >= max_receives {
            return 0;
        }
        let (backoff, at_least) = match redelivery {
            Redelivery::Immediate => return 0,
            Redelivery::AfterBackoff { at_least } => (self.usual(receive_count), at_least),
            Redelivery::AfterOutage { at_least, .. } => (self.outage(receive_count), at_least),
        };
        let seconds = backoff.max(at_least).as_secs_f64() * (1.0 + jitter.stretch / 5.0);
        let rounded = seconds.floor() + f64::from(u8::from(seconds.fract() > jitter.rounding));
        rounded.max(at_least.as_secs_f64().ceil()).min(MAX_TIMEOUT.as_secs_f64()) as i32
    }

    fn usual(&self, receive_count: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(receive_count.saturating_sub(1))).min(self.max)
    }

    fn outage(&self, receive_count: u32) -> Duration {
        let entry = usize::try_from(receive_count.saturating_sub(1)).unwrap_or(usize::MAX);
        let entry = self.outage.get(entry).or(self.outage.last()).copied();
        entry.unwrap_or_else(|| self.usual(receive_count))
    }
}
