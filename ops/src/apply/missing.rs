//! Letters of the plan that cannot be received: another reader or an interrupted command has hidden them, an earlier
//! letter of their group is still in the queue, or they are gone.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two attempts to receive missing letters.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// An interrupted command hides its letters for its visibility time-out. The wait for them is longer by this time.
const MARGIN: Duration = Duration::from_secs(5);

/// What is known about missing letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// They may still appear.
    MayAppear,
    /// The queue has unread letters, which cannot be received.
    Unreadable,
    /// The queue has had no unread letter for so long that none can have been hidden.
    Gone,
}

/// The wait for missing letters. SQS knows the number of letters in a queue only approximately, so a single number is
/// no proof that they are gone.
#[derive(Debug)]
pub(super) struct MissingWait {
    /// The limit of the wait. While the queue has unread letters, it counts from the beginning of the wait. When the
    /// queue has none any more, it counts from that moment, so the whole wait can be twice as long.
    pub(super) limit: Duration,
    began: Instant,
    is_first: bool,
    /// Since when the queue has had no unread letter.
    empty_since: Option<Instant>,
}

impl MissingWait {
    /// Begins a wait. An interrupted command hides its letters for the time `visibility_timeout`.
    pub(super) fn new(visibility_timeout: Duration) -> Self {
        let limit = visibility_timeout + MARGIN;
        Self { limit, began: Instant::now(), is_first: true, empty_since: None }
    }

    /// Returns `true` for the first call, and `false` for every later one.
    pub(super) fn is_first(&mut self) -> bool {
        std::mem::take(&mut self.is_first)
    }

    /// Decides about the missing letters by the present number of letters in the queue that this command has not
    /// received.
    pub(super) fn observe(&mut self, unread: usize) -> Missing {
        if unread > 0 {
            self.empty_since = None;
            return if self.began.elapsed() < self.limit { Missing::MayAppear } else { Missing::Unreadable };
        }
        let empty_since = self.empty_since.get_or_insert_with(Instant::now);
        if empty_since.elapsed() < self.limit { Missing::MayAppear } else { Missing::Gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes one number of unread letters per second.
    async fn observed(unread: impl IntoIterator<Item = usize>) -> Vec<Missing> {
        let mut wait = MissingWait::new(Duration::from_secs(5));
        let mut observed = Vec::new();
        for unread in unread {
            observed.push(wait.observe(unread));
            tokio::time::advance(INTERVAL).await;
        }
        observed
    }

    #[tokio::test(start_paused = true)]
    async fn letters_are_gone_only_when_the_queue_was_empty_for_the_whole_time() {
        let observed = observed([0; 11]).await;
        assert_eq!(observed[..10], [Missing::MayAppear; 10]);
        assert_eq!(observed[10], Missing::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn one_number_of_unread_letters_is_enough_to_wait_longer() {
        let unread = [0; 9].into_iter().chain([1]).chain([0; 11]);
        let observed = observed(unread).await;
        assert_eq!(observed[..20], [Missing::MayAppear; 20]);
        assert_eq!(observed[20], Missing::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn unread_letters_that_never_appear_are_not_gone() {
        let observed = observed([3; 11]).await;
        assert_eq!((observed[9], observed[10]), (Missing::MayAppear, Missing::Unreadable));
    }
}
