//! The queue, with the guarantees of SQS and no others. A message is delivered again when its visibility
//! time-out ends. A standard queue delivers in any order, and sometimes more than once. After the maximum
//! number of receives a message moves to the dead-letter queue.

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
    /// The default visibility time-out.
    pub visibility: Duration,
    /// The probability that a message is delivered once more while it is in flight or after it was deleted.
    pub duplicates: f64,
    pub rng: Rng,
    pub changed: Arc<Notify>,
}

/// A message and its state.
pub struct Entry {
    pub message: Message,
    pub place: Place,
    pub receives: u32,
    /// The outcome and the reason in each summary line of the message.
    pub outcomes: Vec<(String, String)>,
    /// The number of receives whose invocation was killed.
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
    /// The index of the message in the queue's entries.
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
            outcomes: Vec::new(),
            killed: 0,
            was_duplicated: false,
            visible_at: Instant::now(),
        });
        self.changed.notify_waiters();
        self.entries.len() - 1
    }

    /// `ReceiveMessage`, with up to `limit` messages.
    pub fn receive(&mut self, limit: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut order: Vec<_> = (0..self.entries.len()).collect();
        if !self.is_fifo {
            self.rng.shuffle(&mut order);
        }
        let mut busy_groups = HashSet::new();
        let mut received = Vec::new();
        for number in order {
            let may_duplicate = !self.is_fifo && self.rng.f64() < self.duplicates;
            let entry = &mut self.entries[number];
            let is_visible = entry.place == Place::Queue && entry.visible_at <= now;
            let is_duplicate = may_duplicate
                && !entry.was_duplicated
                && (1..self.max_receives).contains(&entry.receives)
                && entry.place != Place::DeadLetters;
            if self.is_fifo && busy_groups.contains(&entry.message.group) || !(is_visible || is_duplicate) {
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
            if received.len() == limit {
                break;
            }
            if !is_visible {
                entry.was_duplicated = true;
                trace::line(format!("m{number} is duplicated"));
            }
            entry.place = Place::Queue;
            entry.receives += 1;
            entry.visible_at = now + self.visibility;
            received.push(Received { number, receives: entry.receives });
        }
        received
    }

    /// `ChangeMessageVisibility`. Returns the error code if the change is rejected.
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

    /// `DeleteMessage`. An outdated receipt deletes the message at random on a standard queue, and never on a
    /// FIFO queue.
    pub fn delete(&mut self, received: &Received) {
        let entry = &mut self.entries[received.number];
        let is_last = entry.receives == received.receives && entry.visible_at > Instant::now();
        if entry.place == Place::Queue && (is_last || !self.is_fifo && self.rng.bool()) {
            entry.place = Place::Deleted;
            self.changed.notify_waiters();
        }
    }

    /// Lets time pass for the queue while the processes are frozen. The queue counts by the monotonic clock, which
    /// stands still meanwhile.
    pub fn pass(&mut self, time: Duration) {
        self.entries.iter_mut().for_each(|entry| entry.visible_at -= time);
        self.changed.notify_waiters();
    }

    /// Counts a receive of each message whose invocation was killed.
    pub fn count_killed(&mut self, batch: &[Received]) {
        batch.iter().for_each(|received| self.entries[received.number].killed += 1);
    }

    /// The time at which the next message becomes visible.
    pub fn next_visible(&self) -> Option<Instant> {
        let waiting = self.entries.iter().filter(|entry| entry.place == Place::Queue);
        waiting.map(|entry| entry.visible_at).filter(|at| *at > Instant::now()).min()
    }

    pub fn is_drained(&self) -> bool {
        self.entries.iter().all(|entry| entry.place != Place::Queue)
    }
}
