//! The limit of the rate at which `apply` and `restore` act on letters (`--rate`).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The largest number of entries that SQS accepts in a call.
const LARGEST_BATCH: usize = 10;
/// The usual number of batches per second: a batch has as many entries as the rate permits in a tenth of a second, but
/// at least one and at most [`LARGEST_BATCH`]. With a rate above 100 there are more batches, and below 10 fewer.
const BATCHES_PER_SECOND: u32 = 10;

/// Spreads actions evenly over time.
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    next: Instant,
}

impl RateLimit {
    /// At most `rate` actions per second.
    pub(crate) fn new(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), next: Instant::now() }
    }

    /// The number of actions in one batch at this rate.
    pub(crate) fn batch_size(rate: u32) -> usize {
        ((rate / BATCHES_PER_SECOND) as usize).clamp(1, LARGEST_BATCH)
    }

    /// Waits until the next batch, of this number of actions, may begin.
    pub(crate) async fn wait(&mut self, actions: usize) {
        sleep_until(self.next).await;
        self.next =
            self.next.max(Instant::now()) + self.interval * u32::try_from(actions).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_actions_at_50_per_second_take_20_seconds() {
        let (began, mut rate_limit) = (Instant::now(), RateLimit::new(50));
        for _ in 0..200 {
            rate_limit.wait(RateLimit::batch_size(50)).await;
        }
        rate_limit.wait(1).await;
        assert_eq!(began.elapsed().as_secs(), 20);
    }

    #[test]
    fn a_batch_has_one_to_ten_actions() {
        assert_eq!([1, 20, 50, 100, 5_000].map(RateLimit::batch_size), [1, 2, 5, 10, 10]);
    }
}
