//! The letters of the plan that were received and wait for their action.

use std::collections::BTreeMap;

use anyhow::Result;

use super::actions::{Actions, ReadyLetter};
use crate::letter::Letter;
use crate::message::StoredMessage;
use crate::plan::PlannedLetter;
use crate::sending::OrderedLetters;
use crate::session::Source;

/// The largest total size of the bodies that are in memory at once, in bytes.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The letters of the plan that were received and wait for their action.
pub(super) struct ReadyLetters {
    source: Source,
    /// Whether the letters of a group must keep their order.
    is_ordered: bool,
    /// Whether the letters must be sorted by the times at which they were sent, because their queue returns them in any
    /// order.
    needs_sorting: bool,
    letters: Vec<ReadyLetter>,
    /// The total size of the bodies.
    bytes: usize,
}

impl ReadyLetters {
    pub(super) fn new(source: Source, from_fifo: bool, to_fifo: bool) -> Self {
        let (is_ordered, needs_sorting) = (from_fifo || to_fifo, to_fifo && !from_fifo);
        Self { source, is_ordered, needs_sorting, letters: Vec::new(), bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Whether to receive missing letters before the action on these letters: no letter is ready, or a missing letter
    /// may come before a ready one of its group.
    pub(super) fn needs_missing_letters(&self) -> bool {
        self.is_empty() || self.needs_sorting && !self.is_full()
    }

    /// Adds a received letter if it is one of the plan. A letter that this plan has redriven is dead again, which is
    /// noted. Any other letter only stays hidden.
    pub(super) fn add_received(
        &mut self,
        message: StoredMessage,
        pending: &mut BTreeMap<String, PlannedLetter>,
        actions: &mut Actions<'_>,
    ) -> Result<()> {
        actions.note_received(&message.message_id)?;
        if let Some(planned) = pending.remove(&message.message_id) {
            let message_group_id = Letter::read(&message, self.source).message_group().to_owned();
            let planned = PlannedLetter { message_group_id, ..planned };
            if message.digest() == planned.body_sha256 {
                self.bytes += message.body.len();
                self.letters.push((planned, message));
            } else {
                actions.end_changed(&planned)?;
            }
        }
        Ok(())
    }

    /// Takes all letters, in the order in which the actions must be carried out.
    pub(super) fn take(&mut self) -> OrderedLetters<ReadyLetter> {
        self.bytes = 0;
        let mut letters = std::mem::take(&mut self.letters);
        if self.needs_sorting {
            letters.sort_by_key(|(_, message)| message.sent());
        }
        let is_ordered = self.is_ordered;
        let key = |planned: &PlannedLetter| {
            if is_ordered { planned.message_group_id.clone() } else { planned.message_id.clone() }
        };
        OrderedLetters::new(letters.into_iter().map(|(planned, message)| (key(&planned), (planned, message))))
    }
}
