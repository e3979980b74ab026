//! The letters that this process has received. They stay hidden from other readers of the queue until this process has
//! acted on them or makes them visible again.

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

use crate::letter::counted;
use crate::progress::note;
use crate::queue::{BATCH, Poll, Queue};

/// The largest number of concurrent calls that change visibility time-outs.
const CONCURRENT_CALLS: usize = 8;

/// The result of a receive.
#[derive(Debug)]
pub(crate) struct Received {
    /// The letters that this process had not received before.
    pub(crate) new: Vec<Message>,
    /// The number of all received letters.
    pub(crate) count: usize,
}

/// The letters that this process has received and hidden.
#[derive(Debug)]
pub(crate) struct HiddenLetters<'a> {
    pub(crate) queue: &'a Queue,
    /// The time for which a receive hides a letter.
    visibility_timeout: Duration,
    /// By message id.
    letters: RefCell<BTreeMap<String, Receipt>>,
}

/// The last receive of a letter.
#[derive(Debug)]
struct Receipt {
    handle: String,
    /// The beginning of the call that last hid the letter.
    hidden_at: ClockReading,
}

impl<'a> HiddenLetters<'a> {
    /// No letters yet. If the process is killed, its letters become visible again after `visibility_timeout`.
    pub(crate) fn new(queue: &'a Queue, visibility_timeout: Duration) -> Self {
        Self { queue, visibility_timeout, letters: RefCell::default() }
    }

    /// Does the work, and keeps the letters that it receives hidden. When the work has ended, successfully or not, the
    /// letters that are still hidden are made visible again.
    pub(crate) async fn keep_hidden_during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = Notify::new();
        let work = async {
            let result = work.await;
            ended.notify_one();
            result
        };
        let (result, ()) = tokio::join!(work, self.keep_hidden_until(&ended));
        self.make_visible().await;
        result
    }

    /// Receives letters. A letter that was received already is received again only if it has become visible.
    pub(crate) async fn receive(&self, poll: Poll) -> Result<Received> {
        let hidden_at = ClockReading::now();
        let received = self.queue.receive(self.visibility_timeout, poll).await?;
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.letters.borrow_mut().insert(id, Receipt { handle, hidden_at }).is_none()
        };
        Ok(Received { count: received.len(), new: received.into_iter().filter(is_new).collect() })
    }

    /// The receipt handle of a letter, if it is certainly still hidden, and for at least a quarter of the visibility
    /// time-out.
    pub(crate) fn handle(&self, message_id: &str) -> Option<String> {
        self.handle_if_hidden_within(message_id, self.visibility_timeout * 3 / 4)
    }

    /// Removes a letter that was deleted from the queue.
    pub(crate) fn forget(&self, message_id: &str) {
        self.letters.borrow_mut().remove(message_id);
    }

    /// The number of letters that are still hidden.
    pub(crate) fn len(&self) -> usize {
        let now = ClockReading::now();
        let is_hidden = |receipt: &&Receipt| now.since(receipt.hidden_at) < self.visibility_timeout;
        self.letters.borrow().values().filter(is_hidden).count()
    }

    /// Makes all letters visible to other readers again.
    pub(crate) async fn make_visible(&self) {
        let failures = self.set_visibility_timeouts(Duration::ZERO, self.visibility_timeout).await;
        if let Some(first) = failures.first() {
            let (count, time) =
                (counted(failures.len()), humantime::format_duration(self.visibility_timeout));
            note(format_args!(
                "note: {count} could not be made visible again ({first}), and will stay hidden for up to {time}"
            ));
        }
        self.letters.borrow_mut().clear();
    }

    /// The receipt handle of a letter, if it was hidden less than `limit` ago.
    fn handle_if_hidden_within(&self, message_id: &str, limit: Duration) -> Option<String> {
        let letters = self.letters.borrow();
        let receipt = letters.get(message_id)?;
        (ClockReading::now().since(receipt.hidden_at) < limit).then(|| receipt.handle.clone())
    }

    /// Extends the visibility time-outs long before they end, until the work has ended. A call in progress is completed
    /// before this returns: later it would hide letters that were made visible again.
    async fn keep_hidden_until(&self, ended: &Notify) {
        loop {
            tokio::select! {
                () = ended.notified() => return,
                () = sleep(self.visibility_timeout / 2) => {}
            }
            // A letter whose time-out could not be extended becomes visible, and is received again.
            self.set_visibility_timeouts(self.visibility_timeout, self.visibility_timeout * 3 / 4).await;
        }
    }

    /// Hides the letters for `time` from now, or makes them visible if `time` is zero. Skips the letters that were last
    /// hidden `limit` ago or earlier, because another reader may have received them. Returns the reason of each
    /// failure.
    async fn set_visibility_timeouts(&self, time: Duration, limit: Duration) -> Vec<String> {
        let ids: Vec<_> = self.letters.borrow().keys().cloned().collect();
        let calls = stream::iter(ids.chunks(BATCH)).map(async |chunk| {
            let hidden_at = ClockReading::now();
            let hidden = chunk.iter().filter_map(|id| Some((id, self.handle_if_hidden_within(id, limit)?)));
            let (ids, handles): (Vec<_>, Vec<_>) = hidden.unzip();
            if handles.is_empty() {
                return Vec::new();
            }
            let results = self.queue.hide(&handles, time).await;
            let mut letters = self.letters.borrow_mut();
            let mut failures = Vec::new();
            for ((id, handle), result) in ids.into_iter().zip(handles).zip(results) {
                match (result, letters.get_mut(id)) {
                    (Err(reason), _) => failures.push(reason),
                    (Ok(()), Some(receipt)) if receipt.handle == handle => receipt.hidden_at = hidden_at,
                    (Ok(()), _) => {}
                }
            }
            failures
        });
        calls.buffer_unordered(CONCURRENT_CALLS).concat().await
    }
}
