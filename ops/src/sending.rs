//! Sends letters to the worker's queue.

use std::collections::{HashMap, VecDeque};

use futures_util::future::join_all;

use crate::files;
use crate::message::StoredMessage;
use crate::queue::Queue;

/// Letters that wait, in their order.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// The keys that have letters: of each, the first letter is next.
    turns: VecDeque<String>,
    letters: HashMap<String, VecDeque<T>>,
}

impl<T> Waiting<T> {
    /// Letters with equal keys are never in one batch, so that a letter is sent only after the letter before it was
    /// accepted.
    pub(crate) fn new(letters: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut waiting = Self { turns: VecDeque::new(), letters: HashMap::new() };
        for (key, letter) in letters {
            let same_key = waiting.letters.entry(key.clone()).or_default();
            if same_key.is_empty() {
                waiting.turns.push_back(key);
            }
            same_key.push_back(letter);
        }
        waiting
    }

    /// The next batch: at most `limit` letters.
    pub(crate) fn next_batch(&mut self, limit: usize) -> Vec<T> {
        let mut batch = Vec::new();
        for _ in 0..limit.min(self.turns.len()) {
            let Some(key) = self.turns.pop_front() else { break };
            let Some(mut same_key) = self.letters.remove(&key) else { continue };
            batch.extend(same_key.pop_front());
            if !same_key.is_empty() {
                self.letters.insert(key.clone(), same_key);
                self.turns.push_back(key);
            }
        }
        batch
    }

    /// All letters.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = T> {
        self.letters.into_values().flatten()
    }
}

/// A letter and its message group in a FIFO queue.
pub(crate) type Grouped<'a> = (&'a str, &'a StoredMessage);

/// Sends letters, all at once. The new message id of each is at its index.
///
/// Each letter has a call of its own, so that the failure of one is no failure of the others, and one of 1 MiB fits.
/// `attempt` distinguishes sendings of the same letter that a FIFO queue must not take for one: it drops a message with the
/// deduplication id of one that was sent up to five minutes before.
pub(crate) async fn send(
    queue: &Queue,
    letters: &[Grouped<'_>],
    attempt: &str,
) -> Vec<Result<String, String>> {
    let calls = letters.iter().map(async |(group, letter)| {
        let deduplication_id = || files::sha256(format!("{} {attempt}", letter.message_id).as_bytes());
        let in_fifo = queue.is_fifo().then(|| (*group, deduplication_id()));
        let sent = queue.send(|call| letter.add_to(call, in_fifo)).await;
        sent.map_err(|error| format!("{error:#}"))
    });
    join_all(calls).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(letters: &[(&str, &'static str)], limit: usize) -> Vec<Vec<&'static str>> {
        let mut waiting = Waiting::new(letters.iter().map(|(key, letter)| ((*key).to_owned(), *letter)));
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
