//! The actions on letters, each with its lines in the audit file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};

use crate::action::Action;
use crate::audit::{Audit, Progress, Step, Subject};
use crate::backup::BackedUp;
use crate::files::JsonLines;
use crate::hold::Hold;
use crate::message::StoredMessage;
use crate::plan::PlannedLetter;
use crate::queue::Queue;
use crate::sending;
use crate::session::Source;

/// The deduplication id of a redriven letter is always the same: a letter that dies again has a new message id.
const ATTEMPT: &str = "redrive";

pub(super) struct Actions<'a> {
    source: Source,
    hold: &'a Hold<'a>,
    event_queue: Option<&'a Queue>,
    audit: Audit,
    backup: Option<JsonLines>,
    /// What earlier runs have done with each letter.
    journal: HashMap<String, Progress>,
    /// The letters that were received and have not been acted on.
    expected: BTreeMap<String, PlannedLetter>,
    /// The new message ids of redriven letters.
    redriven: BTreeSet<String>,
    /// The groups of a FIFO queue in which a letter failed. The letters after it must wait.
    blocked: BTreeSet<String>,
    done: BTreeMap<Action, usize>,
    gone: usize,
    pub(super) failed: usize,
    pub(super) came_back: usize,
}

impl<'a> Actions<'a> {
    pub(super) fn new(
        source: Source,
        hold: &'a Hold<'a>,
        event_queue: Option<&'a Queue>,
        audit: Audit,
        backup: Option<JsonLines>,
        journal: HashMap<String, Progress>,
    ) -> Self {
        let redriven = journal.values().filter_map(|progress| progress.new_message_id.clone()).collect();
        Self {
            source,
            hold,
            event_queue,
            audit,
            backup,
            journal,
            expected: BTreeMap::new(),
            redriven,
            blocked: BTreeSet::new(),
            done: BTreeMap::new(),
            gone: 0,
            failed: 0,
            came_back: 0,
        }
    }

    /// Whether an earlier run has completed the action on this letter.
    pub(super) fn is_done(&self, message_id: &str) -> bool {
        self.step(message_id) == Some(Step::Done)
    }

    pub(super) fn summary(&self) -> String {
        let count = |action| self.done.get(&action).copied().unwrap_or(0);
        format!(
            "{} letters redriven, {} deleted, {} exported, {} failed, {} not in the queue any more; {} dead again. \
             Audit file: {}",
            count(Action::Redrive),
            count(Action::Delete),
            count(Action::Export),
            self.failed,
            self.gone,
            self.came_back,
            self.audit.path().display()
        )
    }

    /// A letter was received. It may be one that was redriven before.
    pub(super) fn notice(&mut self, message_id: &str) -> Result<()> {
        if self.redriven.remove(message_id) {
            self.came_back += 1;
            self.audit.write([(subject("redrive", message_id, ""), Step::CameBack, None, None)])?;
        }
        Ok(())
    }

    /// A letter of the plan was received.
    pub(super) fn expect(&mut self, planned: PlannedLetter) {
        self.expected.insert(planned.message_id.clone(), planned);
    }

    pub(super) fn changed(&mut self, planned: &PlannedLetter) -> Result<()> {
        self.failed += 1;
        self.audit.write([(of(planned), Step::Changed, None, None)])
    }

    /// Acts on received letters of the plan.
    pub(super) async fn act(&mut self, batch: Vec<StoredMessage>) -> Result<()> {
        let mut by_action = BTreeMap::<Action, Vec<(PlannedLetter, StoredMessage)>>::new();
        for message in batch {
            if let Some(planned) = self.expected.remove(&message.message_id) {
                by_action.entry(planned.action).or_default().push((planned, message));
            }
        }
        for (action, letters) in by_action {
            match action {
                Action::Redrive => self.redrive(letters).await?,
                Action::Delete => self.delete_with_backup(letters).await?,
                Action::Export => self.export(letters)?,
            }
        }
        Ok(())
    }

    async fn redrive(&mut self, letters: Vec<(PlannedLetter, StoredMessage)>) -> Result<()> {
        let (sent, unsent): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|(planned, _)| self.step(&planned.message_id) == Some(Step::Sent));
        let mut to_delete: Vec<_> = sent.into_iter().map(|(planned, _)| planned).collect();
        let (blocked, unsent): (Vec<_>, Vec<_>) =
            unsent.into_iter().partition(|(_, message)| self.is_blocked(message));
        self.failed += blocked.len();
        self.audit.write(blocked.iter().map(|(planned, _)| {
            (of(planned), Step::Failed, None, Some("an earlier letter of its group failed".to_owned()))
        }))?;
        if !unsent.is_empty() {
            self.audit.write(unsent.iter().map(|(planned, _)| (of(planned), Step::Started, None, None)))?;
            let queue = self.event_queue.context("no event queue")?;
            let (planned, messages): (Vec<_>, Vec<_>) = unsent.into_iter().unzip();
            let results = sending::send(queue, &messages, self.source, ATTEMPT).await;
            self.audit.write(planned.iter().zip(&results).map(|(planned, result)| match result {
                Ok(new_id) => (of(planned), Step::Sent, Some(new_id.clone()), None),
                Err(reason) => (of(planned), Step::Failed, None, Some(reason.clone())),
            }))?;
            for ((planned, message), result) in planned.into_iter().zip(messages).zip(results) {
                match result {
                    Ok(new_id) => {
                        self.redriven.insert(new_id);
                        to_delete.push(planned);
                    }
                    Err(_) => {
                        self.failed += 1;
                        self.blocked.extend(group(&message));
                    }
                }
            }
        }
        self.delete(&to_delete).await
    }

    async fn delete_with_backup(&mut self, letters: Vec<(PlannedLetter, StoredMessage)>) -> Result<()> {
        let planned = self.back_up(letters)?;
        self.audit.write(planned.iter().map(|planned| (of(planned), Step::BackedUp, None, None)))?;
        self.delete(&planned).await
    }

    fn export(&mut self, letters: Vec<(PlannedLetter, StoredMessage)>) -> Result<()> {
        let planned = self.back_up(letters)?;
        *self.done.entry(Action::Export).or_default() += planned.len();
        self.audit.write(planned.iter().map(|planned| (of(planned), Step::Done, None, None)))
    }

    fn back_up(&mut self, letters: Vec<(PlannedLetter, StoredMessage)>) -> Result<Vec<PlannedLetter>> {
        self.audit.write(letters.iter().map(|(planned, _)| (of(planned), Step::Started, None, None)))?;
        let (planned, messages): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
        let backup = self.backup.as_mut().context("no backup")?;
        backup.append(messages.into_iter().map(BackedUp::new))?;
        Ok(planned)
    }

    async fn delete(&mut self, letters: &[PlannedLetter]) -> Result<()> {
        let handles: Vec<_> =
            letters.iter().map(|planned| self.hold.handle(&planned.message_id).unwrap_or_default()).collect();
        let handles: Vec<_> = handles.iter().map(String::as_str).collect();
        if handles.is_empty() {
            return Ok(());
        }
        let results = self.hold.queue.delete(&handles).await;
        for (planned, result) in letters.iter().zip(&results) {
            if result.is_ok() {
                self.hold.forget(&planned.message_id);
                *self.done.entry(planned.action).or_default() += 1;
            } else {
                self.failed += 1;
            }
        }
        self.audit.write(letters.iter().zip(results).map(|(planned, result)| match result {
            Ok(()) => (of(planned), Step::Done, None, None),
            Err(reason) => (of(planned), Step::Failed, None, Some(format!("not deleted: {reason}"))),
        }))
    }

    /// Completes the lines about letters that were not received: they are gone, unless the queue has unread letters.
    pub(super) fn end_missing(
        &mut self,
        letters: impl Iterator<Item = PlannedLetter>,
        has_unread_letters: bool,
    ) -> Result<()> {
        // Another process may have worked with the same file meanwhile.
        self.journal = self.audit.journal()?;
        for planned in letters {
            let (step, detail) = match self.step(&planned.message_id) {
                Some(Step::Done) => continue,
                Some(Step::Sent | Step::BackedUp) => (Step::Done, "it was deleted before the interruption"),
                _ if has_unread_letters => (Step::Failed, "it could not be received"),
                _ => (Step::Gone, "it is not in the queue any more"),
            };
            match step {
                Step::Done => *self.done.entry(planned.action).or_default() += 1,
                Step::Gone => self.gone += 1,
                _ => self.failed += 1,
            }
            self.audit.write([(of(&planned), step, None, Some(detail.to_owned()))])?;
        }
        Ok(())
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        let detail = format!("{} redriven letters were dead again", self.came_back);
        self.audit.write([(subject("redrive", "", ""), Step::Stopped, None, Some(detail))])
    }

    fn step(&self, message_id: &str) -> Option<Step> {
        self.journal.get(message_id).map(|progress| progress.step)
    }

    fn is_blocked(&self, message: &StoredMessage) -> bool {
        self.hold.queue.is_fifo() && group(message).is_some_and(|group| self.blocked.contains(&group))
    }
}

fn group(message: &StoredMessage) -> Option<String> {
    message.attribute("MessageGroupId").map(str::to_owned)
}

fn of(planned: &PlannedLetter) -> Subject<'_> {
    subject(planned.action.as_str(), &planned.message_id, &planned.body_sha256)
}

fn subject<'a>(action: &'a str, message_id: &'a str, body_sha256: &'a str) -> Subject<'a> {
    Subject { action, message_id, body_sha256 }
}
