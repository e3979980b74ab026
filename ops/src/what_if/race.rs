//! Letters that request different endings of the same reservation: the one that the worker gets first decides.

use reservation_worker::reservation::Ending;

use crate::letter::Letter;
use crate::prediction::Verdict;

/// Corrects the verdicts on the letters about one reservation. `other_payment` says whether a letter that is not among
/// them requests to confirm the reservation: if any other letter ends it first, a refund becomes due.
pub(super) fn decide_between(letters: &mut [&mut Letter], other_payment: bool) {
    let others = other_payment.then_some(Ending::Confirmed);
    let mut endings = letters.iter().filter_map(|letter| letter.requested_ending()).chain(others);
    let Some(first) = endings.next() else { return };
    let is_race = endings.any(|ending| ending != first);
    for letter in letters.iter_mut().filter(|_| is_race) {
        if letter.what_if.as_ref().is_some_and(|verdict| verdict.on_hold) {
            letter.what_if = Some(Verdict::cannot_tell(
                "letters request different endings of this reservation, and the first one that the worker gets decides; \
                 redrive a payment before the others",
            ));
        }
    }
}
