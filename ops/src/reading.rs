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
use crate::queue::{Counts, Poll};
use crate::stop::Stop;

/// The number of receives at once. A FIFO queue has one, which keeps the order.
const RECEIVERS: usize = 4;
/// The number of rounds without a letter after which a standard queue is taken to return no more, although it has letters.
const EMPTY_ROUNDS: usize = 3;
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
    let (mut read, mut backlog_read, mut empty_rounds) = (0, None, 0);
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
        if flow.is_break() || backlog_read.is_some_and(|since| since.elapsed() > ARRIVALS) {
            return Ok(());
        }
        empty_rounds = if received == 0 { empty_rounds + 1 } else { 0 };
        // In a FIFO queue, the other letters of a group are not returned before the first ones are gone.
        if empty_rounds > 0
            && (hold.queue.is_fifo() || empty_rounds == EMPTY_ROUNDS || unread(hold).await?.visible == 0)
        {
            return Ok(());
        }
    }
}

/// Tells the user about letters that are in the queue and could not be read.
pub(crate) async fn note_unread(hold: &Hold<'_>) -> Result<()> {
    let Counts { visible, hidden } = unread(hold).await?;
    if visible > 0 {
        let why = if hold.queue.is_fifo() {
            "SQS returns at most ten letters of a message group, and the next ones only after these are gone."
        } else {
            "They arrived while the queue was read, or SQS did not return them: it returns no more while 120,000 letters of \
             the queue are hidden. Redrive or delete some, and run the command again."
        };
        note(format_args!("note: about {visible} letters are not shown. {why}"));
    }
    if hidden > 0 {
        note(format_args!("note: about {hidden} letters are hidden, because somebody else is reading them."));
    }
    Ok(())
}

/// The letters of the queue that are not held here. SQS counts a letter as visible for some time after it was received, so only
/// the sum says whether there are any.
async fn unread(hold: &Hold<'_>) -> Result<Counts> {
    let counts = hold.queue.counts().await?;
    let unread = (counts.visible + counts.hidden).saturating_sub(hold.len());
    let hidden = counts.hidden.saturating_sub(hold.len()).min(unread);
    Ok(Counts { visible: unread - hidden, hidden })
}
