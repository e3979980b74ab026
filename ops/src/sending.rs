//! Sends letters to the worker's queue.

use std::collections::{HashMap, VecDeque};

use futures_util::future::join_all;

use crate::files;
use crate::message::StoredMessage;
use crate::queue::Queue;

/// Letters that wait for their action, in their order.
#[derive(Debug)]
pub(crate) struct OrderedLetters<T> {
    /// The keys that have letters, in the order in which their first letters are acted on.
    keys: VecDeque<String>,
    letters: HashMap<String, VecDeque<T>>,
}

impl<T> OrderedLetters<T> {
    /// Letters with their keys. Letters with equal keys are never in one batch, so that the action on a letter is
    /// complete before that on the next letter with the same key begins.
    pub(crate) fn new(letters: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut waiting = Self { keys: VecDeque::new(), letters: HashMap::new() };
        for (key, letter) in letters {
            let same_key = waiting.letters.entry(key.clone()).or_default();
            if same_key.is_empty() {
                waiting.keys.push_back(key);
            }
            same_key.push_back(letter);
        }
        waiting
    }

    /// The next batch: at most `limit` letters.
    pub(crate) fn next_batch(&mut self, limit: usize) -> Vec<T> {
        let mut batch = Vec::new();
        for _ in 0..limit.min(self.keys.len()) {
            let Some(key) = self.keys.pop_front() else { break };
            let Some(mut same_key) = self.letters.remove(&key) else { continue };
            batch.extend(same_key.pop_front());
            if !same_key.is_empty() {
                self.letters.insert(key.clone(), same_key);
                self.keys.push_back(key);
            }
        }
        batch
    }

    /// The letters that are left, in no particular order.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = T> {
        self.letters.into_values().flatten()
    }
}

/// A letter and its message group in a FIFO queue.
pub(crate) type Grouped<'a> = (&'a str, &'a StoredMessage);

/// Sends letters concurrently. Returns the new message id of each, or why it was not sent, at its index.
///
/// Each letter has a call of its own, so that the failure of one does not affect the others, and so that a letter of 1
/// MiB can be sent. The deduplication id for a FIFO queue is derived from the message id and from `attempt`: within
/// five minutes, the queue drops a second message with the same deduplication id. Different attempts send the same
/// letter more than once.
pub(crate) async fn send(
    queue: &Queue,
    letters: &[Grouped<'_>],
    attempt: &str,
) -> Vec<Result<String, String>> {
    let calls = letters.iter().map(async |(group, letter)| {
        let deduplication_id = || files::sha256(format!("{} {attempt}", letter.message_id).as_bytes());
        let for_fifo = queue.is_fifo().then(|| (*group, deduplication_id()));
        let sent = queue.send(|call| letter.add_to(call, for_fifo)).await;
        sent.map_err(|error| format!("{error:#}"))
    });
    join_all(calls).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(letters: &[(&str, &'static str)], limit: usize) -> Vec<Vec<&'static str>> {
        let mut waiting =
            OrderedLetters::new(letters.iter().map(|(key, letter)| ((*key).to_owned(), *letter)));
        let mut batches = Vec::new();
        loop {
            let batch = waiting.next_batch(limit);
            if batch.is_empty() {
                return batches;
            }
            batches.push(batch);
        }
    }

    #[test]
    fn a_batch_has_one_letter_of_each_group_in_order() {
        let letters = [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3"), ("c", "c1")];
        assert_eq!(batches(&letters, 10), [vec!["a1", "b1", "c1"], vec!["a2"], vec!["a3"]]);
        assert_eq!(batches(&letters, 2), [vec!["a1", "b1"], vec!["c1", "a2"], vec!["a3"]]);
    }
}
