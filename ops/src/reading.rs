//! Reads a whole queue.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::hold::{Hold, Received};
use crate::message::StoredMessage;
use crate::progress::note;
use crate::queue::Poll;
use crate::stop::Stop;

/// The number of receives at once. A FIFO queue has one, which keeps the order.
const RECEIVERS: usize = 4;
/// How long letters are read that arrive while the queue is read. A queue that fills for ever must not be read for ever.
const ARRIVALS: Duration = Duration::from_secs(10);

/// Passes every visible letter to `take`, once, until there is none or `take` wants no more.
///
/// # Errors
///
/// SQS fails, `take` fails, or the user has asked to stop.
pub(crate) async fn read(
    hold: &Hold<'_>,
    stop: &Stop,
    bar: &ProgressBar,
    mut take: impl FnMut(StoredMessage) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let backlog = hold.queue.counts().await?.visible;
    bar.set_length(backlog as u64);
    let receivers = if hold.queue.is_fifo() { 1 } else { RECEIVERS };
    let (mut read, mut backlog_read) = (0, None);
    loop {
        stop.check()?;
        let (mut received, mut flow) = (0, ControlFlow::Continue(()));
        for result in join_all((0..receivers).map(|_| hold.receive(Poll::Long))).await {
            let Received { new, count } = result?;
            received += count;
            for message in new {
                bar.inc(1);
                if take(StoredMessage::from(message))?.is_break() {
                    flow = ControlFlow::Break(());
                }
            }
        }
        read += received;
        if read >= backlog {
            backlog_read.get_or_insert_with(Instant::now);
        }
        if received == 0 || flow.is_break() || backlog_read.is_some_and(|since| since.elapsed() > ARRIVALS) {
            return Ok(());
        }
    }
}

/// Tells the user about letters that are in the queue and could not be read.
pub(crate) async fn note_unread(hold: &Hold<'_>) -> Result<()> {
    let counts = hold.queue.counts().await?;
    if hold.queue.is_fifo() && counts.visible > 0 {
        let count = counts.visible;
        note(format_args!(
            "note: about {count} letters are not shown. SQS returns at most ten letters of a message group, and the next \
             ones only after these are gone."
        ));
    }
    let others = counts.hidden.saturating_sub(hold.len());
    if others > 0 {
        note(format_args!("note: about {others} letters are hidden, because somebody else is reading them."));
    }
    Ok(())
}
