//! Sends letters to the worker's queue.

use std::collections::{BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::letter::Letter;
use crate::message::StoredMessage;
use crate::queue::Queue;
use crate::session::Source;

/// The largest sum of the sizes in one call, in bytes. SQS accepts 1 MiB; other implementations accept less.
const CALL_SIZE: usize = 256 * 1024;
/// The message group of an event without a reservation, which a FIFO queue requires.
const NO_RESERVATION: &str = "none";

/// Takes the next batch from the front: at most `limit` letters, not larger than a call may be. In a FIFO queue it has at most one
/// letter of each group, so that a letter is sent only after the letter before it was accepted.
pub(crate) fn next_batch(
    letters: &mut VecDeque<StoredMessage>,
    limit: usize,
    is_fifo: bool,
) -> Vec<StoredMessage> {
    let (mut batch, mut size, mut groups) = (Vec::new(), 0, BTreeSet::new());
    let mut later = VecDeque::new();
    while batch.len() < limit
        && let Some(letter) = letters.pop_front()
    {
        let group = letter.attribute("MessageGroupId").map(str::to_owned);
        let has_turn = !is_fifo || groups.insert(group);
        let fits = batch.is_empty() || size + letter.size() <= CALL_SIZE;
        if has_turn && fits {
            size += letter.size();
            batch.push(letter);
        } else {
            later.push_back(letter);
            if !fits {
                break;
            }
        }
    }
    later.append(letters);
    *letters = later;
    batch
}

/// Sends letters in one call. The new message id of each is at its index.
///
/// `attempt` distinguishes sendings of the same letter that a FIFO queue must not take for one: it drops a message with the
/// deduplication id of one that was sent up to five minutes before.
pub(crate) async fn send(
    queue: &Queue,
    letters: &[StoredMessage],
    source: Source,
    attempt: &str,
) -> Vec<Result<String, String>> {
    let entries = letters.iter().enumerate().map(|(index, letter)| {
        let (mut group, mut deduplication_id) = (None, None);
        if queue.is_fifo() {
            let reservation = Letter::read(letter, source).reservation_id().map(str::to_owned);
            group = Some(reservation.unwrap_or_else(|| NO_RESERVATION.to_owned()));
            deduplication_id = Some(deduplication(&letter.message_id, attempt));
        }
        letter.entry(index, group.as_deref(), deduplication_id)
    });
    match entries.collect() {
        Ok(entries) => queue.send(entries).await,
        Err(error) => vec![Err(format!("{error:#}")); letters.len()],
    }
}

fn deduplication(message_id: &str, attempt: &str) -> String {
    Sha256::digest(format!("{message_id} {attempt}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn letter(id: &str, group: &str, bytes: usize) -> StoredMessage {
        StoredMessage {
            message_id: id.to_owned(),
            body: "x".repeat(bytes),
            attributes: [("MessageGroupId".to_owned(), group.to_owned())].into(),
            message_attributes: BTreeMap::new(),
        }
    }

    fn batches(letters: &[(&str, &str, usize)], limit: usize, is_fifo: bool) -> Vec<Vec<String>> {
        let mut letters = letters.iter().map(|(id, group, bytes)| letter(id, group, *bytes)).collect();
        let mut batches = Vec::new();
        loop {
            let batch = next_batch(&mut letters, limit, is_fifo);
            if batch.is_empty() {
                return batches;
            }
            batches.push(batch.into_iter().map(|letter| letter.message_id).collect());
        }
    }

    #[test]
    fn a_batch_of_a_fifo_queue_has_one_letter_of_each_group_in_order() {
        let letters = [("a1", "a", 1), ("a2", "a", 1), ("b1", "b", 1), ("a3", "a", 1), ("c1", "c", 1)];
        assert_eq!(batches(&letters, 10, true), [vec!["a1", "b1", "c1"], vec!["a2"], vec!["a3"]]);
        assert_eq!(batches(&letters, 3, false), [vec!["a1", "a2", "b1"], vec!["a3", "c1"]]);
    }

    #[test]
    fn a_large_letter_is_sent_alone() {
        let letters = [("a", "a", 1), ("b", "b", 1024 * 1024), ("c", "c", 1)];
        assert_eq!(batches(&letters, 10, false), [vec!["a"], vec!["b"], vec!["c"]]);
    }
}
