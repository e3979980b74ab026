//! A queue with the guarantees of SQS that matter during an outage: visibility time-outs, receive counts, the
//! dead-letter queue, and the order of message groups. It is fast with tens of thousands of messages, and remembers
//! when each message left it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// The default visibility time-out: six times the time-out of the function.
const VISIBILITY: Duration = Duration::from_secs(180);

pub struct DeploymentQueue {
    pub messages: Vec<QueuedMessage>,
    pub is_fifo: bool,
    pub max_receives: u32,
    /// The visible messages.
    ready: Vec<usize>,
    /// The other messages of the queue, by the time at which they become visible.
    waiting: BTreeSet<(Instant, usize)>,
    /// The number of waiting messages of each group that has one. No message of these groups is delivered on a FIFO
    /// queue.
    locked_groups: HashMap<String, usize>,
    rng: Rng,
    pub changed: Arc<Notify>,
}

pub struct QueuedMessage {
    pub body: String,
    pub group: String,
    /// The body is not an event.
    pub is_poison: bool,
    pub sent: Instant,
    pub receives: u32,
    visible_at: Instant,
    /// When and how the message left the queue.
    pub ended: Option<(Instant, End)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Deleted,
    DeadLetter,
}

impl DeploymentQueue {
    pub fn new(is_fifo: bool, max_receives: u32, rng: Rng) -> Self {
        Self {
            messages: Vec::new(),
            is_fifo,
            max_receives,
            ready: Vec::new(),
            waiting: BTreeSet::new(),
            locked_groups: HashMap::new(),
            rng,
            changed: Arc::default(),
        }
    }

    pub fn send(&mut self, body: String, group: String, is_poison: bool) {
        let now = Instant::now();
        self.ready.push(self.messages.len());
        let message =
            QueuedMessage { body, group, is_poison, sent: now, receives: 0, visible_at: now, ended: None };
        self.messages.push(message);
        self.changed.notify_waiters();
    }

    /// `ReceiveMessage`, with up to `limit` messages. Returns their indexes.
    pub fn receive(&mut self, limit: usize) -> Vec<usize> {
        let now = Instant::now();
        while let Some(&(visible_at, number)) = self.waiting.first()
            && visible_at <= now
        {
            self.remove_waiting(number);
            self.ready.push(number);
        }
        if self.is_fifo { self.receive_in_order(limit) } else { self.receive_any(limit) }
    }

    fn receive_any(&mut self, limit: usize) -> Vec<usize> {
        let mut received = Vec::new();
        while received.len() < limit && !self.ready.is_empty() {
            let number = self.ready.swap_remove(self.rng.usize(..self.ready.len()));
            received.extend(self.deliver(number).then_some(number));
        }
        received
    }

    /// No message of a group is delivered while an earlier delivery of the group waits.
    fn receive_in_order(&mut self, limit: usize) -> Vec<usize> {
        self.ready.sort_unstable();
        let locked: HashSet<_> = self.locked_groups.keys().cloned().collect();
        let (mut received, mut left) = (Vec::new(), Vec::new());
        for number in std::mem::take(&mut self.ready) {
            if received.len() == limit || locked.contains(&self.messages[number].group) {
                left.push(number);
            } else if self.deliver(number) {
                received.push(number);
            }
        }
        self.ready = left;
        received
    }

    /// Delivers a message, or moves it to the dead-letter queue and returns false.
    fn deliver(&mut self, number: usize) -> bool {
        let (now, message) = (Instant::now(), &mut self.messages[number]);
        if message.receives == self.max_receives {
            message.ended = Some((now, End::DeadLetter));
            return false;
        }
        message.receives += 1;
        self.set_waiting(number, now + VISIBILITY);
        true
    }

    /// `ChangeMessageVisibility`. Returns the error code if the change is rejected.
    pub fn change_visibility(&mut self, receipt: &str, time: Duration) -> Option<&'static str> {
        let now = Instant::now();
        let (number, receives) = receipt.split_once('/')?;
        let number = number.parse::<usize>().ok()?;
        let message = &self.messages[number];
        if receives.parse() != Ok(message.receives) || message.ended.is_some() {
            return Some("ReceiptHandleIsInvalid");
        }
        if message.visible_at <= now {
            return Some("MessageNotInflight");
        }
        self.remove_waiting(number);
        self.set_waiting(number, now + time);
        self.changed.notify_waiters();
        None
    }

    /// `DeleteMessage`, in time.
    pub fn delete(&mut self, number: usize) {
        self.remove_waiting(number);
        self.messages[number].ended = Some((Instant::now(), End::Deleted));
        self.changed.notify_waiters();
    }

    pub fn receipt(&self, number: usize) -> String {
        format!("{number}/{}", self.messages[number].receives)
    }

    /// The time at which the next message becomes visible.
    pub fn next_visible(&self) -> Option<Instant> {
        self.waiting.first().map(|(visible_at, _)| *visible_at)
    }

    pub fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty()
    }

    fn set_waiting(&mut self, number: usize, visible_at: Instant) {
        self.messages[number].visible_at = visible_at;
        self.waiting.insert((visible_at, number));
        *self.locked_groups.entry(self.messages[number].group.clone()).or_default() += 1;
    }

    fn remove_waiting(&mut self, number: usize) {
        let QueuedMessage { group, visible_at, .. } = &self.messages[number];
        assert!(self.waiting.remove(&(*visible_at, number)), "message {number} is not in flight");
        let waiting = self.locked_groups.get_mut(group).unwrap();
        *waiting -= 1;
        if *waiting == 0 {
            self.locked_groups.remove(group);
        }
    }
}
