//! Letters of the plan that are not received: somebody else holds them, an interrupted command still holds them, a letter of
//! their group is before them, or they are gone.

use std::time::Duration;

use tokio::time::Instant;

pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than the hold of an interrupted command the wait lasts.
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

/// How long missing letters are waited for. SQS knows the number of letters only approximately, so one number is no proof.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) limit: Duration,
    began: Instant,
    is_first: bool,
    /// Since when the queue has had no unread letter.
    empty: Option<Instant>,
}

impl Patience {
    /// An interrupted command held its letters for the time `visibility`.
    pub(super) fn new(visibility: Duration) -> Self {
        Self { limit: visibility + MARGIN, began: Instant::now(), is_first: true, empty: None }
    }

    /// Whether this is the first time that this is asked.
    pub(super) fn is_first(&mut self) -> bool {
        std::mem::take(&mut self.is_first)
    }

    /// Takes the present number of letters in the queue that this command does not hold.
    pub(super) fn observe(&mut self, unread: usize) -> Missing {
        if unread > 0 {
            self.empty = None;
            return if self.began.elapsed() < self.limit { Missing::MayAppear } else { Missing::Unreadable };
        }
        let empty = self.empty.get_or_insert_with(Instant::now);
        if empty.elapsed() < self.limit { Missing::MayAppear } else { Missing::Gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes one number of unread letters per second.
    async fn observed(unread: impl IntoIterator<Item = usize>) -> Vec<Missing> {
        let mut patience = Patience::new(Duration::from_secs(5));
        let mut observed = Vec::new();
        for unread in unread {
            observed.push(patience.observe(unread));
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
