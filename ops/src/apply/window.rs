//! The letters that were received and wait for their action.

use std::collections::BTreeMap;

use anyhow::Result;

use super::actions::{Actions, Taken};
use crate::letter::Letter;
use crate::message::StoredMessage;
use crate::plan::PlannedLetter;
use crate::sending::Waiting;
use crate::session::Source;

/// The largest sum of the bodies that are in memory at once, in bytes.
const SIZE: usize = 256 * 1024 * 1024;

pub(super) struct Window {
    source: Source,
    /// Whether the letters of a group keep their order.
    is_ordered: bool,
    /// Whether the order is the one of the times, because the queue returns the letters in any order.
    is_sorted: bool,
    letters: Vec<Taken>,
    size: usize,
}

impl Window {
    pub(super) fn new(source: Source, from_fifo: bool, to_fifo: bool) -> Self {
        let (is_ordered, is_sorted) = (from_fifo || to_fifo, to_fifo && !from_fifo);
        Self { source, is_ordered, is_sorted, letters: Vec::new(), size: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.size >= SIZE
    }

    /// Whether missing letters must be waited for, because nothing else is to be done, or because one of them may be the first
    /// one of its group.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_empty() || self.is_sorted && !self.is_full()
    }

    /// Decides what a received letter is: one of the plan, one that this plan has redriven, or another one, which is only held.
    pub(super) fn sort(
        &mut self,
        message: StoredMessage,
        pending: &mut BTreeMap<String, PlannedLetter>,
        actions: &mut Actions<'_>,
    ) -> Result<()> {
        actions.notice(&message.message_id)?;
        if let Some(planned) = pending.remove(&message.message_id) {
            let message_group_id = Letter::read(&message, self.source).message_group().to_owned();
            let planned = PlannedLetter { message_group_id, ..planned };
            if message.digest() == planned.body_sha256 {
                self.size += message.body.len();
                self.letters.push((planned, message));
            } else {
                actions.changed(&planned)?;
            }
        }
        Ok(())
    }

    /// Takes the letters in the order of their actions.
    pub(super) fn take(&mut self) -> Waiting<Taken> {
        self.size = 0;
        let mut letters = std::mem::take(&mut self.letters);
        if self.is_sorted {
            letters.sort_by_key(|(_, message)| message.sent());
        }
        let is_ordered = self.is_ordered;
        let key = |planned: &PlannedLetter| {
            if is_ordered { planned.message_group_id.clone() } else { planned.message_id.clone() }
        };
        Waiting::new(letters.into_iter().map(|(planned, message)| (key(&planned), (planned, message))))
    }
}
