//! The queue, with what SQS promises and no more: messages come again when their visibility time-out is
//! over, on a standard queue in any order and now and then twice, and after too many receives they are dead.

use std::collections::HashSet;
use std::sync::Arc;

use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::events::Message;
use crate::trace;

pub struct Queue {
    pub entries: Vec<Entry>,
    pub is_fifo: bool,
    pub max_receives: u32,
    /// The queue's own time-out, for those nobody asks another for.
    pub visibility: Duration,
    /// How likely a message is given out while another has it, or though it was deleted.
    pub duplicates: f64,
    pub rng: Rng,
    pub changed: Arc<Notify>,
}

/// A message and what became of it.
pub struct Entry {
    pub message: Message,
    pub place: Place,
    pub receives: u32,
    /// Outcome and reason, as the function told them last.
    pub told: Option<(String, String)>,
    /// Receives that died with their invocation.
    pub killed: u32,
    was_duplicated: bool,
    visible_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Queue,
    Deleted,
    DeadLetters,
}

/// One receive of a message.
#[derive(Debug, Clone)]
pub struct Received {
    /// The message's place among the entries.
    pub number: usize,
    pub receives: u32,
}

impl Received {
    pub fn message_id(&self) -> String {
        format!("m{}", self.number)
    }

    pub fn receipt(&self) -> String {
        format!("{}/{}", self.number, self.receives)
    }
}

impl Queue {
    pub fn send(&mut self, message: Message) -> usize {
        self.entries.push(Entry {
            message,
            place: Place::Queue,
            receives: 0,
            told: None,
            killed: 0,
            was_duplicated: false,
            visible_at: Instant::now(),
        });
        self.changed.notify_waiters();
        self.entries.len() - 1
    }

    pub fn receive(&mut self, most: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut order: Vec<_> = (0..self.entries.len()).collect();
        if !self.is_fifo {
            self.rng.shuffle(&mut order);
        }
        let mut busy_groups = HashSet::new();
        let mut received = Vec::new();
        for number in order {
            let may_repeat = !self.is_fifo && self.rng.f64() < self.duplicates;
            let entry = &mut self.entries[number];
            let is_there = entry.place == Place::Queue && entry.visible_at <= now;
            let repeats =
                may_repeat && !entry.was_duplicated && (1..self.max_receives).contains(&entry.receives);
            let is_alive = entry.place != Place::DeadLetters;
            if self.is_fifo && busy_groups.contains(&entry.message.group)
                || !(is_there || repeats && is_alive)
            {
                if entry.place == Place::Queue {
                    busy_groups.insert(entry.message.group.clone());
                }
                continue;
            }
            if entry.receives == self.max_receives {
                entry.place = Place::DeadLetters;
                self.changed.notify_waiters();
                continue;
            }
            if received.len() == most {
                break;
            }
            if !is_there {
                entry.was_duplicated = true;
                trace::line(format!("m{number} comes twice"));
            }
            entry.place = Place::Queue;
            entry.receives += 1;
            entry.visible_at = now + self.visibility;
            received.push(Received { number, receives: entry.receives });
        }
        received
    }

    /// `ChangeMessageVisibility`: the code of the refusal, if it is refused.
    pub fn change_visibility(&mut self, receipt: &str, time: Duration) -> Option<&'static str> {
        let now = Instant::now();
        let (number, receives) = receipt.split_once('/')?;
        let entry = &mut self.entries[number.parse::<usize>().ok()?];
        if receives.parse() != Ok(entry.receives) || entry.place != Place::Queue {
            return Some("ReceiptHandleIsInvalid");
        }
        if entry.visible_at <= now {
            return Some("MessageNotInflight");
        }
        entry.visible_at = now + time;
        self.changed.notify_waiters();
        None
    }

    /// `DeleteMessage`. A receipt that is not the last deletes by chance, or on a FIFO queue never.
    pub fn delete(&mut self, received: &Received) {
        let entry = &mut self.entries[received.number];
        let is_last = entry.receives == received.receives && entry.visible_at > Instant::now();
        if entry.place == Place::Queue && (is_last || !self.is_fifo && self.rng.bool()) {
            entry.place = Place::Deleted;
            self.changed.notify_waiters();
        }
    }

    /// The invocation that had these is dead.
    pub fn killed(&mut self, batch: &[Received]) {
        batch.iter().for_each(|received| self.entries[received.number].killed += 1);
    }

    /// When the next message becomes visible.
    pub fn next_visible(&self) -> Option<Instant> {
        let waiting = self.entries.iter().filter(|entry| entry.place == Place::Queue);
        waiting.map(|entry| entry.visible_at).filter(|at| *at > Instant::now()).min()
    }

    pub fn is_drained(&self) -> bool {
        self.entries.iter().all(|entry| entry.place != Place::Queue)
    }
}
