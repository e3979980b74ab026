//! The letters that this process has received: nobody else receives them until they are given back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use aws_sdk_sqs::types::Message;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::progress::note;
use crate::queue::{BATCH, Poll, Queue};

/// The number of calls that are made at once to extend or to end the hold.
const CALLS: usize = 8;

/// The result of a receive.
#[derive(Debug)]
pub(crate) struct Received {
    /// The letters that were not held already.
    pub(crate) new: Vec<Message>,
    /// The number of all received letters.
    pub(crate) count: usize,
}

/// The held letters.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    pub(crate) queue: &'a Queue,
    visibility: Duration,
    /// The receipt handle of each letter, by message id.
    handles: RefCell<BTreeMap<String, String>>,
}

impl<'a> Hold<'a> {
    /// Holds nothing yet. If the process is killed, its letters become visible again after `visibility`.
    pub(crate) fn new(queue: &'a Queue, visibility: Duration) -> Self {
        Self { queue, visibility, handles: RefCell::default() }
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

    /// Receives letters. One that is held already is received again only if its hold has run out.
    pub(crate) async fn receive(&self, poll: Poll) -> Result<Received> {
        let received = self.queue.receive(self.visibility, poll).await?;
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.handles.borrow_mut().insert(id, handle).is_none()
        };
        Ok(Received { count: received.len(), new: received.into_iter().filter(is_new).collect() })
    }

    /// The receipt handle of a letter.
    pub(crate) fn handle(&self, message_id: &str) -> Option<String> {
        self.handles.borrow().get(message_id).cloned()
    }

    /// The letter was deleted.
    pub(crate) fn forget(&self, message_id: &str) {
        self.handles.borrow_mut().remove(message_id);
    }

    /// The number of held letters.
    pub(crate) fn len(&self) -> usize {
        self.handles.borrow().len()
    }

    /// Extends the hold long before it runs out, until the work has ended. A call in progress is completed first: after the
    /// letters have been given back it would hide them again.
    async fn extend_until(&self, ended: &Notify) {
        loop {
            tokio::select! {
                () = ended.notified() => return,
                () = sleep(self.visibility / 2) => {}
            }
            self.hide_all(self.visibility).await;
        }
    }

    async fn give_back(&self) {
        let failures = self.hide_all(Duration::ZERO).await;
        if let Some(first) = failures.first() {
            let (count, time) = (failures.len(), humantime::format_duration(self.visibility));
            note(format_args!(
                "note: {count} letters were not given back ({first}); they are hidden for {time}"
            ));
        }
        self.handles.borrow_mut().clear();
    }

    /// Sets the time for which the letters are hidden. Returns the reason of each letter for which this failed.
    async fn hide_all(&self, time: Duration) -> Vec<String> {
        let handles: Vec<_> = self.handles.borrow().values().cloned().collect();
        let calls =
            stream::iter(handles.chunks(BATCH)).map(async |chunk| match self.queue.hide(chunk, time).await {
                Ok(failed) => failed,
                Err(error) => vec![format!("{error:#}"); chunk.len()],
            });
        calls.buffer_unordered(CALLS).concat().await
    }
}
