//! Reads a whole queue.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::hidden::{HiddenLetters, Received};
use crate::letter::counted;
use crate::message::StoredMessage;
use crate::progress::note;
use crate::queue::{Counts, Poll};
use crate::stop::Stop;

/// The number of concurrent receives from a standard queue. A FIFO queue has one receive at a time, which keeps the
/// order.
const CONCURRENT_RECEIVES: usize = 4;
/// Reading ends after this number of rounds in a row that return no letter, even if the queue says that it has letters.
const MAX_EMPTY_ROUNDS: usize = 3;
/// When as many letters were read as the queue had at the beginning, reading continues for this time, because letters
/// may have arrived meanwhile. Without this limit, a queue that keeps filling would be read for ever.
const MAX_TIME_AFTER_BACKLOG: Duration = Duration::from_secs(10);

/// Passes every visible letter to `take`, once, until there is none or `take` returns `Break`.
///
/// # Errors
///
/// SQS fails, `take` fails, or the user has asked to stop.
pub(crate) async fn read(
    hidden_letters: &HiddenLetters<'_>,
    stop: &Stop,
    bar: &ProgressBar,
    mut take: impl FnMut(StoredMessage) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let backlog = hidden_letters.queue.counts().await?.visible;
    bar.set_length(backlog as u64);
    let receives = if hidden_letters.queue.is_fifo() { 1 } else { CONCURRENT_RECEIVES };
    let (mut read, mut backlog_read, mut empty_rounds) = (0, None, 0);
    loop {
        stop.check()?;
        let (mut received, mut flow) = (0, ControlFlow::Continue(()));
        for result in join_all((0..receives).map(|_| hidden_letters.receive(Poll::Long))).await {
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
        if flow.is_break() || backlog_read.is_some_and(|since| since.elapsed() > MAX_TIME_AFTER_BACKLOG) {
            return Ok(());
        }
        empty_rounds = if received == 0 { empty_rounds + 1 } else { 0 };
        // A FIFO queue returns the next letters of a group only after the first ones were deleted.
        if empty_rounds > 0
            && (hidden_letters.queue.is_fifo()
                || empty_rounds == MAX_EMPTY_ROUNDS
                || unread(hidden_letters).await?.visible == 0)
        {
            return Ok(());
        }
    }
}

/// Prints a note about the letters that are in the queue and could not be read, if there are any.
pub(crate) async fn note_unread(hidden_letters: &HiddenLetters<'_>) -> Result<()> {
    let Counts { visible, hidden } = unread(hidden_letters).await?;
    if visible > 0 {
        let why = if hidden_letters.queue.is_fifo() {
            "SQS returns at most ten letters of a message group, and the next ones only after these are gone."
        } else {
            "They arrived while the queue was read, or SQS did not return them: it returns no more while 120,000 letters of \
             the queue are hidden. Redrive or delete some, and run the command again."
        };
        note(format_args!("note: about {} cannot be shown. {why}", counted(visible)));
    }
    if hidden > 0 {
        note(format_args!("note: another reader of the queue hides about {} now.", counted(hidden)));
    }
    Ok(())
}

/// The approximate numbers of letters in the queue that this process has not received. SQS counts a letter as visible
/// for some time after it was received, so only the sum of both numbers says whether there are any.
async fn unread(hidden_letters: &HiddenLetters<'_>) -> Result<Counts> {
    let counts = hidden_letters.queue.counts().await?;
    let unread = (counts.visible + counts.hidden).saturating_sub(hidden_letters.len());
    let hidden = counts.hidden.saturating_sub(hidden_letters.len()).min(unread);
    Ok(Counts { visible: unread - hidden, hidden })
}
