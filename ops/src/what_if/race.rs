//! Letters about the same reservation that is on hold: the first one ends it, and decides about the others.

use crate::letter::Letter;
use crate::prediction::Verdict;

/// Corrects the verdicts on the letters about one reservation, the oldest first.
pub(super) fn decide_between(letters: &mut [&mut Letter], is_fifo: bool) {
    let ending = |letter: &Letter| letter.what_if.as_ref().and_then(|verdict| verdict.would_end);
    let mut endings = letters.iter().filter_map(|letter| ending(letter));
    let Some(first) = endings.next() else { return };
    if endings.all(|other| other == first) {
        return;
    }
    for letter in letters.iter_mut() {
        let Some(requested) = ending(letter) else { continue };
        if !is_fifo {
            letter.what_if = Some(Verdict::cannot_tell(
                "other letters want to end the same reservation in another way; the first one decides, and the queue does \
                 not keep the order",
            ));
        } else if let Some(verdict) = Verdict::of_ending(requested, first) {
            letter.what_if =
                Some(Verdict { why: format!("after an earlier letter: {}", verdict.why), ..verdict });
        }
    }
}
