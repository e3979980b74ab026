//! Letters that want to end the same reservation in different ways: the one that the worker gets first decides about the others.

use reservation_worker::reservation::Ending;

use crate::letter::Letter;
use crate::prediction::Verdict;

/// Corrects the verdicts on the letters about one reservation. `other_payment` says that a letter which is not among them wants
/// to confirm the reservation: whatever else ends it makes a refund due.
pub(super) fn decide_between(letters: &mut [&mut Letter], other_payment: bool) {
    let others = other_payment.then_some(Ending::Confirmed);
    let mut endings = letters.iter().filter_map(|letter| letter.requested_ending()).chain(others);
    let Some(first) = endings.next() else { return };
    let is_race = endings.any(|ending| ending != first);
    for letter in letters.iter_mut().filter(|_| is_race) {
        if letter.what_if.as_ref().is_some_and(|verdict| verdict.on_hold) {
            letter.what_if = Some(Verdict::cannot_tell(
                "letters want to end this reservation in different ways, and the first one that the worker gets decides; \
                 redrive a payment before the others",
            ));
        }
    }
}
