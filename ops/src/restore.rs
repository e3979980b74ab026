//! The command `restore`: sends the letters of a backup to the worker's queue again.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::audit::{self, Audit, Common, Step, Subject};
use crate::backup::{self, BackedUp};
use crate::cli::RestoreArgs;
use crate::files;
use crate::letter::{Letter, counted};
use crate::message::StoredMessage;
use crate::progress::{bar, note};
use crate::rate_limit::RateLimit;
use crate::refund;
use crate::sending::{self, OrderedLetters};
use crate::session::{Session, Source};

/// A letter that is to be sent.
struct RestoredLetter {
    message: StoredMessage,
    body_sha256: String,
    group: String,
    /// The reason code that `--allow-reason` must name; `None` if no permission is needed.
    needs_permission: Option<String>,
}

impl RestoredLetter {
    fn new(BackedUp { source, body_sha256, reason_code, mut message, .. }: BackedUp) -> Self {
        if source == Source::Undelivered {
            message.remove_delivery_failure();
        }
        let letter = Letter::read(&message, source);
        let reason = refund::reason(letter.event_type(), &reason_code, None).map(str::to_owned);
        Self { body_sha256, group: letter.message_group().to_owned(), needs_permission: reason, message }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { action: "restore", message_id: &self.message.message_id, body_sha256: &self.body_sha256 }
    }
}

pub(crate) async fn run(session: &Session, args: &RestoreArgs) -> Result<ExitCode> {
    let letters = chosen(backup::read(&args.file)?, args)?;
    let queue = session.event_queue(&session.queue().await?).await?;
    let caller = session.caller(args.audit.caller.as_deref()).await?;
    let path = args.audit.audit.clone().unwrap_or_else(|| audit::default_path(&args.file));
    files::must_differ(&[&args.file, &path])?;
    let mut audit = Audit::open(
        path,
        Common { caller, plan_sha256: None, queue_url: None, sent_to: Some(queue.url.clone()) },
    )?;
    let journal = audit.journal()?;
    let (done, letters): (Vec<_>, Vec<_>) =
        letters.into_iter().partition(|letter| journal.is_done(&letter.message.message_id));
    if !done.is_empty() {
        let (count, path) = (counted(done.len()), audit.path().display());
        note(format_args!("note: {count} will not be sent again: {path} says that this was done before."));
    }
    let mut letters: Vec<_> = letters.into_iter().map(RestoredLetter::new).collect();
    refund::check(
        letters.iter().filter_map(|letter| letter.needs_permission.as_deref()),
        &args.allow_reason,
    )?;
    letters.sort_by_key(|letter| letter.message.sent());
    let (bar, mut rate_limit) = (bar("sending", letters.len()), RateLimit::new(args.rate));
    let key = |letter: &RestoredLetter| {
        if queue.is_fifo() { letter.group.clone() } else { letter.message.message_id.clone() }
    };
    let mut waiting = OrderedLetters::new(letters.into_iter().map(|letter| (key(&letter), letter)));
    // Each run has a different `attempt`: otherwise a FIFO queue would drop letters that the user restores once more.
    let attempt = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string();
    let (mut sent, mut failed, mut blocked) = (0, 0, BTreeSet::new());
    loop {
        session.stop.check()?;
        let batch = waiting.next_batch(RateLimit::batch_size(args.rate));
        if batch.is_empty() {
            break;
        }
        rate_limit.wait(batch.len()).await;
        bar.inc(batch.len() as u64);
        let (must_wait, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|letter| blocked.contains(&key(letter)));
        failed += must_wait.len();
        let reason = Some("an earlier letter of its group failed".to_owned());
        audit.write(must_wait.iter().map(|letter| (letter.subject(), Step::Failed, None, reason.clone())))?;
        audit.write(batch.iter().map(|letter| (letter.subject(), Step::Started, None, None)))?;
        let grouped: Vec<_> = batch.iter().map(|letter| (letter.group.as_str(), &letter.message)).collect();
        let results = sending::send(&queue, &grouped, &attempt).await;
        for (letter, result) in batch.iter().zip(&results) {
            match result {
                Ok(_) => sent += 1,
                Err(reason) => {
                    if failed == 0 {
                        note(format_args!("the first failure: {}: {reason}", letter.message.message_id));
                    }
                    failed += 1;
                    blocked.insert(key(letter));
                }
            }
        }
        audit.write(batch.iter().zip(results).map(|(letter, result)| match result {
            Ok(new_id) => (letter.subject(), Step::Done, Some(new_id), None),
            Err(reason) => (letter.subject(), Step::Failed, None, Some(reason)),
        }))?;
    }
    bar.finish_and_clear();
    note(format_args!("{} sent, {failed} failed. Audit file: {}", counted(sent), audit.path().display()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The letters that the arguments name, or all.
fn chosen(letters: Vec<BackedUp>, args: &RestoreArgs) -> Result<Vec<BackedUp>> {
    let ids: BTreeSet<_> = letters.iter().map(|letter| letter.message.message_id.as_str()).collect();
    if let Some(id) = args.message.iter().find(|id| !ids.contains(id.as_str())) {
        bail!("{} does not contain the letter {id}", args.file.display());
    }
    let is_chosen =
        |letter: &BackedUp| args.message.is_empty() || args.message.contains(&letter.message.message_id);
    Ok(letters.into_iter().filter(is_chosen).collect())
}
