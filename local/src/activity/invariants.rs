//! The invariants of contract section 1, checked while events are processed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use reservation_worker_local::{Reservation, SeatState, Status};
use serde::Serialize;
use serde_json::Value;

use super::queue_depth::QueueDepth;
use super::record::DEAD_LETTER;

/// The largest number of ids that are shown for an invariant.
const MAX_EXAMPLES: usize = 5;

/// One invariant and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Invariant {
    name: &'static str,
    verdict: Verdict,
    /// The number of reservations or messages for which the invariant does not hold.
    count: usize,
    /// Some of their ids.
    examples: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Holds,
    /// It does not hold now, but may hold when the events that are still in a queue are done.
    Waiting,
    /// It does not hold, and no event in a queue can change that.
    Violated,
    /// It does not hold, unless somebody has deleted dead letters outside of the console.
    Unknown,
}

/// What the invariants need to know about earlier observations.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// The reservations whose seats are sold.
    sold: HashSet<String>,
    /// The reservations whose seats were sold and later had another state.
    unsold: BTreeSet<String>,
    /// The reservations with a seat that is also sold to another reservation.
    sold_twice: BTreeSet<String>,
    /// The reservations whose status and seats disagree.
    inconsistent: BTreeSet<String>,
    /// The messages that were returned and have not been acknowledged since, with the log line of the last delivery.
    unfinished: BTreeMap<String, Value>,
    /// The messages that were deleted from the dead-letter queue or moved back. The log line of their last delivery may
    /// be read later.
    removed: HashSet<String>,
    /// Whether two observations in a row found the queue empty, and nothing was changed between them.
    is_quiet: bool,
}

impl Checks {
    /// Checks the state of all reservations. Returns their number by status.
    pub(crate) fn read(
        &mut self,
        reservations: impl IntoIterator<Item = (Reservation, Option<SeatState>)>,
    ) -> BTreeMap<Status, usize> {
        let (mut statuses, mut owners) = (BTreeMap::new(), HashMap::new());
        self.sold_twice.clear();
        self.inconsistent.clear();
        for (reservation, seats) in reservations {
            *statuses.entry(reservation.status).or_default() += 1;
            let Reservation { reservation_id: id, event_id, seat_ids, status, .. } = reservation;
            if seats == Some(SeatState::Sold) {
                for seat_id in seat_ids {
                    if let Some(other) = owners.insert((event_id.clone(), seat_id), id.clone()) {
                        self.sold_twice.extend([other, id.clone()]);
                    }
                }
                self.sold.insert(id.clone());
            } else if self.sold.remove(&id) {
                self.unsold.insert(id.clone());
            }
            let expected = match status {
                Status::Hold => SeatState::Hold,
                Status::Confirmed => SeatState::Sold,
                Status::Cancelled | Status::Expired => SeatState::Available,
            };
            if seats != Some(expected) {
                self.inconsistent.insert(id);
            }
        }
        statuses
    }

    /// Notes that a message was returned. `line` is the log line of this delivery.
    pub(crate) fn returned(&mut self, message_id: &str, line: &Value) {
        if !self.removed.contains(message_id) {
            self.unfinished.insert(message_id.to_owned(), line.clone());
        }
    }

    /// Notes that a message was acknowledged.
    pub(crate) fn finished(&mut self, message_id: &str) {
        self.unfinished.remove(message_id);
    }

    /// Notes that a message was deleted from the dead-letter queue or moved back, which gives it a new id.
    pub(crate) fn removed(&mut self, message_id: &str) {
        self.removed.insert(message_id.to_owned());
        self.finished(message_id);
    }

    /// Whether a message was deleted from the dead-letter queue or moved back.
    pub(crate) fn is_removed(&self, message_id: &str) -> bool {
        self.removed.contains(message_id)
    }

    /// The log line of the last delivery of a message that was returned and has not been acknowledged since.
    pub(crate) fn last_line(&self, message_id: &str) -> Option<&Value> {
        self.unfinished.get(message_id)
    }

    /// Sets whether two observations in a row found the queue empty, and nothing was changed between them.
    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// The state of all invariants. `is_current` says whether nothing has changed since the reservations were read, and
    /// `deletions_are_logged` whether [`Self::removed`] was also called for the dead letters that others have deleted.
    pub(crate) fn invariants(
        &self,
        depth: QueueDepth,
        is_current: bool,
        deletions_are_logged: bool,
    ) -> Vec<Invariant> {
        let is_settled = self.is_quiet && is_current;
        // A process that was killed has logged nothing about its messages, so they can be about any reservation.
        let has_unknown_letters = depth.dead > self.unfinished.len();
        let about: HashSet<_> =
            self.unfinished.values().filter_map(|line| line["reservation_id"].as_str()).collect();
        let (waiting, violated): (Vec<_>, Vec<_>) = self
            .inconsistent
            .iter()
            .partition(|id| !is_settled || has_unknown_letters || about.contains(id.as_str()));
        // A dead letter is not lost. If there are dead letters, it is not known which of the messages are lost.
        let missing = self.unfinished.len().saturating_sub(depth.dead);
        let named = if depth.dead == 0 { self.unfinished.len() } else { 0 };
        let mut no_loss =
            Invariant::new("No event is lost", missing, self.unfinished.keys().take(named), !self.is_quiet);
        let is_dead = |line: &&Value| line["message"] == DEAD_LETTER;
        let may_be_deleted =
            !deletions_are_logged && missing <= self.unfinished.values().filter(is_dead).count();
        if no_loss.verdict == Verdict::Violated && may_be_deleted {
            no_loss.verdict = Verdict::Unknown;
        }
        vec![
            Invariant::new("No seat is sold twice", self.sold_twice.len(), &self.sold_twice, false),
            Invariant::new("No sold seat is released", self.unsold.len(), &self.unsold, false),
            match violated.len() {
                0 => Invariant::new("Status and seats agree", waiting.len(), waiting, true),
                count => Invariant::new("Status and seats agree", count, violated, false),
            },
            no_loss,
        ]
    }
}

impl Invariant {
    /// `count` is the number of reservations or messages for which the invariant does not hold, and `ids` are their
    /// ids. `can_change` says whether events that are still in a queue can change that.
    fn new<'a>(
        name: &'static str,
        count: usize,
        ids: impl IntoIterator<Item = &'a String>,
        can_change: bool,
    ) -> Self {
        let verdict = match (count, can_change) {
            (0, _) => Verdict::Holds,
            (_, true) => Verdict::Waiting,
            (_, false) => Verdict::Violated,
        };
        Self { name, verdict, count, examples: ids.into_iter().take(MAX_EXAMPLES).cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reservation(id: &str, status: Status, seat: &str) -> Reservation {
        Reservation {
            reservation_id: id.to_owned(),
            event_id: "evt".to_owned(),
            user_id: None,
            status,
            seat_ids: vec![seat.to_owned()],
            quantity: 1,
            order_id: None,
            payment_intent_id: None,
            reason: None,
        }
    }

    const EMPTY: QueueDepth = QueueDepth { ready: 0, waiting: 0, in_flight: 0, dead: 0, dead_invisible: 0 };

    /// The names of the invariants that do not hold, with their verdicts and examples.
    fn broken(checks: &Checks, depth: QueueDepth) -> Vec<(&'static str, Verdict, Vec<String>)> {
        let invariants = checks.invariants(depth, true, true).into_iter();
        let broken = invariants.filter(|invariant| invariant.verdict != Verdict::Holds);
        broken.map(|invariant| (invariant.name, invariant.verdict, invariant.examples)).collect()
    }

    fn quiet() -> Checks {
        Checks { is_quiet: true, ..Checks::default() }
    }

    #[test]
    fn a_seat_with_two_buyers_is_sold_twice() {
        let mut checks = quiet();
        let sold = |id, seat| (reservation(id, Status::Confirmed, seat), Some(SeatState::Sold));
        checks.read([sold("r1", "A-1"), sold("r2", "A-2")]);
        assert_eq!(broken(&checks, EMPTY), []);
        checks.read([sold("r1", "A-1"), sold("r2", "A-1"), sold("r3", "A-3")]);
        let ids = vec!["r1".to_owned(), "r2".to_owned()];
        assert_eq!(broken(&checks, EMPTY), [("No seat is sold twice", Verdict::Violated, ids)]);
    }

    #[test]
    fn a_sold_seat_that_is_released_stays_a_violation() {
        let mut checks = quiet();
        checks.read([(reservation("r1", Status::Confirmed, "A-1"), Some(SeatState::Sold))]);
        checks.read([(reservation("r1", Status::Expired, "A-1"), Some(SeatState::Available))]);
        let violated = [("No sold seat is released", Verdict::Violated, vec!["r1".to_owned()])];
        assert_eq!(broken(&checks, EMPTY), violated);
        checks.read([(reservation("r1", Status::Confirmed, "A-1"), Some(SeatState::Sold))]);
        assert_eq!(broken(&checks, EMPTY), violated);
    }

    #[test]
    fn status_and_seats_that_disagree_wait_only_for_a_message_about_them() {
        let mut checks = quiet();
        checks.read([(reservation("r1", Status::Confirmed, "A-1"), Some(SeatState::Hold))]);
        let name = "Status and seats agree";
        let ids = vec!["r1".to_owned()];
        assert_eq!(broken(&checks, EMPTY), [(name, Verdict::Violated, ids.clone())]);

        checks.set_quiet(false);
        assert_eq!(broken(&checks, EMPTY), [(name, Verdict::Waiting, ids.clone())]);

        checks.set_quiet(true);
        let one_dead = QueueDepth { dead: 1, ..EMPTY };
        checks.returned("m1", &json!({ "reservation_id": "r2" }));
        assert_eq!(
            broken(&checks, one_dead),
            [(name, Verdict::Violated, ids.clone())],
            "another reservation"
        );
        checks.returned("m1", &json!({ "reservation_id": "r1" }));
        assert_eq!(broken(&checks, one_dead), [(name, Verdict::Waiting, ids.clone())]);
        checks.finished("m1");
        assert_eq!(broken(&checks, one_dead), [(name, Verdict::Waiting, ids)], "an unknown dead letter");
    }

    #[test]
    fn a_returned_message_that_is_in_no_queue_is_lost() {
        let mut checks = quiet();
        checks.returned("m1", &json!({}));
        checks.returned("m2", &json!({}));
        let name = "No event is lost";
        let ids = vec!["m1".to_owned(), "m2".to_owned()];
        assert_eq!(broken(&checks, EMPTY), [(name, Verdict::Violated, ids.clone())]);
        let (one_dead, two_dead) = (QueueDepth { dead: 1, ..EMPTY }, QueueDepth { dead: 2, ..EMPTY });
        assert_eq!(broken(&checks, one_dead), [(name, Verdict::Violated, vec![])], "one of the two");
        assert_eq!(broken(&checks, two_dead), []);
        checks.set_quiet(false);
        assert_eq!(broken(&checks, EMPTY), [(name, Verdict::Waiting, ids)]);
        checks.finished("m1");
        checks.finished("m2");
        assert_eq!(broken(&checks, EMPTY), []);
    }

    #[test]
    fn a_dead_letter_is_not_lost_if_its_deletion_is_seen_before_its_log_line() {
        let mut checks = quiet();
        checks.removed("m1");
        checks.returned("m1", &json!({ "message": DEAD_LETTER }));
        assert_eq!(checks.last_line("m1"), None);
        let lost = checks.invariants(EMPTY, true, true).pop();
        assert_eq!(lost.map(|invariant| invariant.verdict), Some(Verdict::Holds));
    }

    #[test]
    fn a_dead_letter_that_is_missing_is_not_called_lost_if_deletions_are_not_logged() {
        let mut checks = quiet();
        checks.returned("m1", &json!({ "message": DEAD_LETTER }));
        let verdict = |checks: &Checks, deletions_are_logged| {
            checks.invariants(EMPTY, true, deletions_are_logged).pop().map(|invariant| invariant.verdict)
        };
        assert_eq!(verdict(&checks, true), Some(Verdict::Violated));
        assert_eq!(verdict(&checks, false), Some(Verdict::Unknown));
        checks.returned("m2", &json!({}));
        assert_eq!(verdict(&checks, false), Some(Verdict::Violated), "a message of the event queue");
    }
}
