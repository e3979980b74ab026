//! The actions on letters, each with its lines in the audit file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::missing::Missing;
use crate::action::Action;
use crate::audit::{Audit, Journal, Step, Subject};
use crate::backup::BackedUp;
use crate::files::JsonLines;
use crate::hidden::HiddenLetters;
use crate::letter::counted;
use crate::message::StoredMessage;
use crate::plan::PlannedLetter;
use crate::progress::note;
use crate::queue::Queue;
use crate::sending;
use crate::session::Source;

/// The argument `attempt` of [`sending::send`] for each redrive of a letter: a repeated command must not send the
/// letter twice, and a letter that is dead again has a new message id.
const ATTEMPT: &str = "redrive";

/// A letter of the plan that was received.
pub(super) type ReadyLetter = (PlannedLetter, StoredMessage);

/// Carries out the actions of a plan.
pub(super) struct Actions<'a> {
    source: Source,
    hidden_letters: &'a HiddenLetters<'a>,
    event_queue: Option<&'a Queue>,
    audit: Audit,
    backup: Option<JsonLines>,
    /// What was done with each letter.
    journal: Journal,
    /// The groups of a FIFO queue in which a letter failed. The letters after it must wait.
    blocked: BTreeSet<String>,
    /// The number of letters whose action is complete, by action.
    done: BTreeMap<Action, usize>,
    /// The number of letters that are not in the queue any more although, as far as is known, no action of this plan
    /// has deleted them.
    gone: usize,
    /// The number of letters whose action failed.
    failed: usize,
    /// The new ids of redriven letters that were dead again.
    came_back: BTreeSet<String>,
}

impl<'a> Actions<'a> {
    pub(super) fn new(
        source: Source,
        hidden_letters: &'a HiddenLetters<'a>,
        event_queue: Option<&'a Queue>,
        audit: Audit,
        backup: Option<JsonLines>,
    ) -> Result<Self> {
        let journal = audit.journal()?;
        let (blocked, done) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self {
            source,
            hidden_letters,
            event_queue,
            audit,
            backup,
            journal,
            blocked,
            done,
            gone: 0,
            failed: 0,
            came_back: BTreeSet::new(),
        })
    }

    /// Whether an earlier run has completed the action on this letter.
    pub(super) fn is_done(&self, message_id: &str) -> bool {
        self.journal.is_done(message_id)
    }

    /// Whether everything was done by this command.
    pub(super) fn is_success(&self) -> bool {
        self.failed + self.gone == 0
    }

    pub(super) fn has_redriven(&self) -> bool {
        self.done.contains_key(&Action::Redrive)
    }

    pub(super) fn summary(&self) -> String {
        let count = |action| self.done.get(&action).copied().unwrap_or(0);
        format!(
            "{} redriven, {} deleted, {} backed up, {} failed, {} not in the queue any more; {} dead again. \
             Audit file: {}",
            counted(count(Action::Redrive)),
            count(Action::Delete),
            count(Action::Backup),
            self.failed,
            self.gone,
            self.came_back.len(),
            self.audit.path().display()
        )
    }

    /// Notes that a letter was received. If this plan has redriven it before, it is dead again.
    pub(super) fn note_received(&mut self, message_id: &str) -> Result<()> {
        if self.journal.redriven.contains(message_id) && self.came_back.insert(message_id.to_owned()) {
            self.audit.write([(subject("redrive", message_id, ""), Step::CameBack, None, None)])?;
        }
        Ok(())
    }

    /// How many redriven letters were dead again.
    pub(super) fn came_back(&self) -> usize {
        self.came_back.len()
    }

    /// Ends the action on a letter whose body is not the one of the plan.
    pub(super) fn end_changed(&mut self, planned: &PlannedLetter) -> Result<()> {
        self.fail(planned, Step::Changed, "its body is not the one of the plan")
    }

    /// Acts on letters. Returns those that must be received again, because they may be visible to other readers.
    pub(super) async fn act(&mut self, batch: Vec<ReadyLetter>) -> Result<Vec<PlannedLetter>> {
        let (mut by_action, mut not_hidden) = (BTreeMap::<Action, Vec<ReadyLetter>>::new(), Vec::new());
        for (planned, message) in batch {
            if self.hidden_letters.handle(&planned.message_id).is_some() {
                by_action.entry(planned.action).or_default().push((planned, message));
            } else {
                not_hidden.push(planned);
            }
        }
        for (action, letters) in by_action {
            let to_delete = match action {
                Action::Redrive => self.send(letters).await?,
                Action::Delete => self.back_up(letters, Step::BackedUp)?,
                Action::Backup => {
                    let backed_up = self.back_up(letters, Step::Done)?.len();
                    *self.done.entry(action).or_default() += backed_up;
                    continue;
                }
            };
            not_hidden.extend(self.delete(to_delete).await?);
        }
        Ok(not_hidden)
    }

    /// Sends letters, except those that an earlier run has sent. Returns those that can be deleted.
    async fn send(&mut self, letters: Vec<ReadyLetter>) -> Result<Vec<PlannedLetter>> {
        let (mut to_delete, mut unsent) = (Vec::new(), Vec::new());
        for (planned, mut message) in letters {
            if self.journal.step(&planned.message_id) == Some(Step::Sent) {
                to_delete.push(planned);
            } else if self.blocked.contains(&planned.message_group_id) {
                self.fail(&planned, Step::Failed, "an earlier letter of its group failed")?;
            } else {
                if self.source == Source::Undelivered {
                    message.remove_delivery_failure();
                }
                unsent.push((planned, message));
            }
        }
        if unsent.is_empty() {
            return Ok(to_delete);
        }
        self.audit
            .write(unsent.iter().map(|(planned, _)| (subject_of(planned), Step::Started, None, None)))?;
        let queue = self.event_queue.context("no event queue")?;
        let grouped: Vec<_> =
            unsent.iter().map(|(planned, message)| (planned.message_group_id.as_str(), message)).collect();
        let results = sending::send(queue, &grouped, ATTEMPT).await;
        let sent = unsent.iter().zip(&results).filter_map(|((planned, _), result)| {
            Some((subject_of(planned), Step::Sent, Some(result.as_ref().ok()?.clone()), None))
        });
        self.audit.write(sent)?;
        for ((planned, _), result) in unsent.into_iter().zip(results) {
            match result {
                Ok(new_id) => {
                    self.journal.record_sent(&planned.message_id, new_id);
                    to_delete.push(planned);
                }
                Err(reason) => self.fail(&planned, Step::Failed, &reason)?,
            }
        }
        Ok(to_delete)
    }

    /// Writes letters to the backup, and then the step `then` to the audit file. The backup is on the disk before that.
    fn back_up(&mut self, letters: Vec<ReadyLetter>, then: Step) -> Result<Vec<PlannedLetter>> {
        let started = letters.iter().map(|(planned, _)| (subject_of(planned), Step::Started, None, None));
        self.audit.write(started)?;
        let backup = self.backup.as_mut().context("no backup")?;
        let (planned, messages): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
        let backed_up = planned.iter().zip(messages);
        backup.append(
            backed_up
                .map(|(planned, message)| BackedUp::new(message, self.source, planned.reason_or_refund())),
        )?;
        self.audit.write(planned.iter().map(|planned| (subject_of(planned), then, None, None)))?;
        Ok(planned)
    }

    /// Deletes letters. Returns those that must be received again.
    async fn delete(&mut self, letters: Vec<PlannedLetter>) -> Result<Vec<PlannedLetter>> {
        let (mut hidden, mut handles, mut not_hidden) = (Vec::new(), Vec::new(), Vec::new());
        for planned in letters {
            match self.hidden_letters.handle(&planned.message_id) {
                Some(handle) => {
                    hidden.push(planned);
                    handles.push(handle);
                }
                None => not_hidden.push(planned),
            }
        }
        if handles.is_empty() {
            return Ok(not_hidden);
        }
        let deleting = hidden.iter().filter(|planned| planned.action == Action::Delete);
        self.audit.write(deleting.map(|planned| (subject_of(planned), Step::Deleting, None, None)))?;
        let results = self.hidden_letters.queue.delete(&handles).await;
        let deleted = hidden.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.audit.write(deleted.map(|(planned, _)| (subject_of(planned), Step::Done, None, None)))?;
        for (planned, result) in hidden.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    self.hidden_letters.forget(&planned.message_id);
                    *self.done.entry(planned.action).or_default() += 1;
                }
                Err(reason) => self.fail(&planned, Step::Failed, &format!("not deleted: {reason}"))?,
            }
        }
        Ok(not_hidden)
    }

    /// Ends the actions on letters that were not received.
    pub(super) fn end_missing(
        &mut self,
        letters: impl Iterator<Item = PlannedLetter>,
        missing: Missing,
    ) -> Result<()> {
        // Another process may have worked with the same file meanwhile.
        self.journal = self.audit.journal()?;
        for planned in letters {
            match self.journal.step(&planned.message_id) {
                Some(Step::Done) => {}
                _ if missing != Missing::Gone => {
                    self.fail(&planned, Step::Failed, "it could not be received")?;
                }
                Some(Step::Sent | Step::Deleting) => {
                    *self.done.entry(planned.action).or_default() += 1;
                    let detail = Some("it was deleted before the interruption".to_owned());
                    self.audit.write([(subject_of(&planned), Step::Done, None, detail)])?;
                }
                step => {
                    self.gone += 1;
                    let is_backed_up = step == Some(Step::BackedUp);
                    let detail = is_backed_up
                        .then(|| "it is in the backup; whether this plan deleted it is not known".to_owned());
                    self.audit.write([(subject_of(&planned), Step::Gone, None, detail)])?;
                }
            }
        }
        Ok(())
    }

    /// The state of the letters, according to the audit file.
    pub(super) fn read_journal(&self) -> Result<Journal> {
        self.audit.journal()
    }

    /// Writes to the audit file that the command stops, because too many redriven letters were dead again.
    pub(super) fn stop(&mut self) -> Result<()> {
        let detail = format!("{} redriven letters were dead again", self.came_back.len());
        self.audit.write([(subject("redrive", "", ""), Step::Stopped, None, Some(detail))])
    }

    /// Ends the action on a letter with a failure. The letters after it in its group must wait, unless it was sent.
    fn fail(&mut self, planned: &PlannedLetter, step: Step, reason: &str) -> Result<()> {
        if self.failed == 0 {
            note(format_args!("the first failure: {}: {reason}", planned.message_id));
        }
        self.failed += 1;
        let is_sent = self.journal.step(&planned.message_id) == Some(Step::Sent);
        if !is_sent && self.event_queue.is_some_and(Queue::is_fifo) {
            self.blocked.insert(planned.message_group_id.clone());
        }
        self.audit.write([(subject_of(planned), step, None, Some(reason.to_owned()))])
    }
}

fn subject_of(planned: &PlannedLetter) -> Subject<'_> {
    subject(planned.action.as_str(), &planned.message_id, &planned.body_sha256)
}

fn subject<'a>(action: &'a str, message_id: &'a str, body_sha256: &'a str) -> Subject<'a> {
    Subject { action, message_id, body_sha256 }
}
