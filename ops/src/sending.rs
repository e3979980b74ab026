//! Sends letters to the worker's queue.

use std::collections::{BTreeSet, VecDeque};

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use crate::letter::Letter;
use crate::message::StoredMessage;
use crate::queue::Queue;
use crate::session::Source;

/// The message group of an event without a reservation, which a FIFO queue requires.
const NO_RESERVATION: &str = "none";

/// Takes the next batch from the front: at most `limit` letters. In a FIFO queue it has at most one letter of each group, so that
/// a letter is sent only after the letter before it was accepted.
pub(crate) fn next_batch(
    letters: &mut VecDeque<StoredMessage>,
    limit: usize,
    is_fifo: bool,
) -> Vec<StoredMessage> {
    let (mut batch, mut later, mut groups) = (Vec::new(), VecDeque::new(), BTreeSet::new());
    while batch.len() < limit
        && let Some(letter) = letters.pop_front()
    {
        let group = letter.attribute("MessageGroupId").map(str::to_owned);
        if !is_fifo || groups.insert(group) {
            batch.push(letter);
        } else {
            later.push_back(letter);
        }
    }
    later.append(letters);
    *letters = later;
    batch
}

/// Sends letters, all at once. The new message id of each is at its index.
///
/// Each letter has a call of its own, so that the failure of one is no failure of the others, and one of 1 MiB fits.
/// `attempt` distinguishes sendings of the same letter that a FIFO queue must not take for one: it drops a message with the
/// deduplication id of one that was sent up to five minutes before.
pub(crate) async fn send(
    queue: &Queue,
    letters: &[StoredMessage],
    source: Source,
    attempt: &str,
) -> Vec<Result<String, String>> {
    let calls = letters.iter().map(async |letter| {
        let (mut group, mut deduplication_id) = (None, None);
        if queue.is_fifo() {
            let reservation = Letter::read(letter, source).reservation_id().map(str::to_owned);
            group = Some(reservation.unwrap_or_else(|| NO_RESERVATION.to_owned()));
            deduplication_id = Some(deduplication(&letter.message_id, attempt));
        }
        let sent = queue.send(|call| letter.add_to(call, group.as_deref(), deduplication_id)).await;
        sent.map_err(|error| format!("{error:#}"))
    });
    join_all(calls).await
}

fn deduplication(message_id: &str, attempt: &str) -> String {
    Sha256::digest(format!("{message_id} {attempt}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn letter(id: &str, group: &str) -> StoredMessage {
        StoredMessage {
            message_id: id.to_owned(),
            body: String::new(),
            attributes: [("MessageGroupId".to_owned(), group.to_owned())].into(),
            message_attributes: BTreeMap::new(),
        }
    }

    fn batches(letters: &[(&str, &str)], limit: usize, is_fifo: bool) -> Vec<Vec<String>> {
        let mut letters = letters.iter().map(|(id, group)| letter(id, group)).collect();
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
        let letters = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("c1", "c")];
        assert_eq!(batches(&letters, 10, true), [vec!["a1", "b1", "c1"], vec!["a2"], vec!["a3"]]);
        assert_eq!(batches(&letters, 3, false), [vec!["a1", "a2", "b1"], vec!["a3", "c1"]]);
    }
}
