//! Letters of the plan that are not received: somebody else holds them, an interrupted command still holds them, a letter of
//! their group is before them, or they are gone.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::hold::Hold;
use crate::progress::note;

pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than the hold of an interrupted command the wait lasts.
const MARGIN: Duration = Duration::from_secs(5);

/// How long missing letters are waited for.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    /// The number of letters in the queue that this command had not received when it was last asked for.
    pub(super) unread: usize,
}

impl Patience {
    /// An interrupted command held its letters for this time.
    pub(super) fn new(visibility: Duration) -> Self {
        Self { limit: visibility + MARGIN, since: None, unread: 0 }
    }

    /// Whether missing letters may still appear.
    pub(super) async fn may_appear(&mut self, hold: &Hold<'_>, missing: usize) -> Result<bool> {
        let counts = hold.queue.counts().await?;
        self.unread = (counts.visible + counts.hidden).saturating_sub(hold.len());
        if self.unread == 0 {
            return Ok(false);
        }
        if self.since.is_none() {
            let time = humantime::format_duration(self.limit);
            note(format_args!("note: {missing} letters cannot be received now; waiting for up to {time}"));
        }
        Ok(self.since.get_or_insert_with(Instant::now).elapsed() < self.limit)
    }
}
