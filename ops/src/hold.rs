//! The letters that this process has received: nobody else receives them until they are given back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use aws_sdk_sqs::types::Message;
use futures_util::StreamExt;
use futures_util::stream;
use sqs_batch::ClockReading;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::progress::note;
use crate::queue::{BATCH, Poll, Queue};

/// The number of calls that are made at once to extend or to end the hold.
const CALLS: usize = 8;

/// The result of a receive.
#[derive(Debug)]
pub(crate) struct Received {
    /// The letters that were not received before.
    pub(crate) new: Vec<Message>,
    /// The number of all received letters.
    pub(crate) count: usize,
}

/// The held letters.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    pub(crate) queue: &'a Queue,
    visibility: Duration,
    /// By message id.
    letters: RefCell<BTreeMap<String, Receipt>>,
}

/// What a receive returned.
#[derive(Debug)]
struct Receipt {
    handle: String,
    /// The beginning of the call that last hid the letter.
    hidden: ClockReading,
}

impl<'a> Hold<'a> {
    /// Holds nothing yet. If the process is killed, its letters become visible again after `visibility`.
    pub(crate) fn new(queue: &'a Queue, visibility: Duration) -> Self {
        Self { queue, visibility, letters: RefCell::default() }
    }

    /// Does the work, and holds the letters that it receives. When the work has ended, successfully or not, the letters that
    /// are still held are given back.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = Notify::new();
        let work = async {
            let result = work.await;
            ended.notify_one();
            result
        };
        let (result, ()) = tokio::join!(work, self.extend_until(&ended));
        self.give_back().await;
        result
    }

    /// Receives letters. One that was received already is received again only if its hold has run out.
    pub(crate) async fn receive(&self, poll: Poll) -> Result<Received> {
        let hidden = ClockReading::now();
        let received = self.queue.receive(self.visibility, poll).await?;
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.letters.borrow_mut().insert(id, Receipt { handle, hidden }).is_none()
        };
        Ok(Received { count: received.len(), new: received.into_iter().filter(is_new).collect() })
    }

    /// The receipt handle of a letter, if nobody else can have received the letter, and nobody else will receive it soon.
    pub(crate) fn handle(&self, message_id: &str) -> Option<String> {
        self.handle_until(message_id, self.visibility * 3 / 4)
    }

    /// The letter was deleted.
    pub(crate) fn forget(&self, message_id: &str) {
        self.letters.borrow_mut().remove(message_id);
    }

    /// The number of held letters.
    pub(crate) fn len(&self) -> usize {
        let now = ClockReading::now();
        self.letters.borrow().values().filter(|receipt| now.since(receipt.hidden) < self.visibility).count()
    }

    /// Shows all letters to everybody again.
    pub(crate) async fn give_back(&self) {
        let failures = self.hide_all(Duration::ZERO, self.visibility).await;
        if let Some(first) = failures.first() {
            let (count, time) = (failures.len(), humantime::format_duration(self.visibility));
            note(format_args!(
                "note: {count} letters were not given back ({first}); they are hidden for {time}"
            ));
        }
        self.letters.borrow_mut().clear();
    }

    fn handle_until(&self, message_id: &str, limit: Duration) -> Option<String> {
        let letters = self.letters.borrow();
        let receipt = letters.get(message_id)?;
        (ClockReading::now().since(receipt.hidden) < limit).then(|| receipt.handle.clone())
    }

    /// Extends the hold long before it runs out, until the work has ended. A call in progress is completed first: after the
    /// letters have been given back it would hide them again.
    async fn extend_until(&self, ended: &Notify) {
        loop {
            tokio::select! {
                () = ended.notified() => return,
                () = sleep(self.visibility / 2) => {}
            }
            // What fails here is tried again, or runs out and is received again.
            self.hide_all(self.visibility, self.visibility * 3 / 4).await;
        }
    }

    /// Sets the time for which the letters are hidden that were hidden less than `limit` ago: somebody else may hold an
    /// older one. Returns the reason of each letter for which this failed.
    async fn hide_all(&self, time: Duration, limit: Duration) -> Vec<String> {
        let ids: Vec<_> = self.letters.borrow().keys().cloned().collect();
        let calls = stream::iter(ids.chunks(BATCH)).map(async |chunk| {
            let hidden = ClockReading::now();
            let held = chunk.iter().filter_map(|id| Some((id, self.handle_until(id, limit)?)));
            let (ids, handles): (Vec<_>, Vec<_>) = held.unzip();
            if handles.is_empty() {
                return Vec::new();
            }
            let results = self.queue.hide(&handles, time).await;
            let mut letters = self.letters.borrow_mut();
            let mut failures = Vec::new();
            for ((id, handle), result) in ids.into_iter().zip(handles).zip(results) {
                match (result, letters.get_mut(id)) {
                    (Err(reason), _) => failures.push(reason),
                    (Ok(()), Some(receipt)) if receipt.handle == handle => receipt.hidden = hidden,
                    (Ok(()), _) => {}
                }
            }
            failures
        });
        calls.buffer_unordered(CALLS).concat().await
    }
}
