//! The command `restore`: sends the letters of a backup to the worker's queue again.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::audit::{Audit, Step, Subject};
use crate::backup;
use crate::cli::RestoreArgs;
use crate::message::StoredMessage;
use crate::pace::Pace;
use crate::progress::{bar, note};
use crate::sending;
use crate::session::Session;

const ACTION: &str = "restore";

pub(crate) async fn run(session: &Session, args: &RestoreArgs) -> Result<ExitCode> {
    let letters = backup::read(&args.file)?;
    let queue = session.event_queue().await?;
    let caller = session.caller(args.audit.caller.as_deref()).await?;
    let mut audit = Audit::open(args.audit.audit.as_deref(), &args.file, caller)?;
    let journal = audit.journal()?;
    let is_done = |letter: &StoredMessage| {
        journal.get(&letter.message_id).is_some_and(|progress| progress.step == Step::Done)
    };
    let is_chosen =
        |letter: &StoredMessage| args.message.is_empty() || args.message.contains(&letter.message_id);
    let (done, mut waiting): (VecDeque<_>, VecDeque<_>) =
        letters.into_iter().filter(is_chosen).partition(is_done);
    if !done.is_empty() {
        let (count, path) = (done.len(), audit.path().display());
        note(format_args!(
            "note: {count} letters are not sent, because {path} says that they were sent before."
        ));
    }
    // A FIFO queue would drop letters that an earlier run has restored and the user wants to restore once more.
    let attempt = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string();
    let (bar, mut pace) = (bar("sending", waiting.len()), Pace::new(args.rate));
    let (mut sent, mut failed) = (0, 0);
    loop {
        session.stop.check()?;
        let batch = sending::next_batch(&mut waiting, Pace::batch(args.rate), queue.is_fifo());
        if batch.is_empty() {
            break;
        }
        pace.wait(batch.len()).await;
        let ids: Vec<_> = batch.iter().map(|letter| (letter.message_id.clone(), letter.digest())).collect();
        let subjects: Vec<_> = ids
            .iter()
            .map(|(message_id, body_sha256)| Subject { action: ACTION, message_id, body_sha256 })
            .collect();
        audit.write(subjects.iter().map(|subject| (*subject, Step::Started, None, None)))?;
        let results = sending::send(&queue, &batch, session.source, &attempt).await;
        failed += results.iter().filter(|result| result.is_err()).count();
        sent += results.iter().filter(|result| result.is_ok()).count();
        bar.inc(batch.len() as u64);
        audit.write(subjects.iter().zip(results).map(|(subject, result)| match result {
            Ok(new_id) => (*subject, Step::Done, Some(new_id), None),
            Err(reason) => (*subject, Step::Failed, None, Some(reason)),
        }))?;
    }
    bar.finish_and_clear();
    note(format_args!("{sent} letters sent, {failed} failed. Audit file: {}", audit.path().display()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
