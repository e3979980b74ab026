//! The invariants of contract section 1, checked while events are processed.

use std::collections::{BTreeMap, HashMap, HashSet};

use reservation_worker_local::{Reservation, SeatState, Services, Status};
use serde::Serialize;

use super::queue_depth::QueueDepth;

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
}

/// What the invariants need to know about earlier observations.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// The reservations whose seats are sold.
    sold: HashSet<String>,
    /// The reservations whose seats were sold and later had another state.
    unsold: Vec<String>,
    /// The reservations with a seat that is also sold to another one.
    sold_twice: Vec<String>,
    /// The reservations whose status and seats disagree.
    inconsistent: Vec<String>,
    /// The messages that were returned and have not been acknowledged since.
    unfinished: HashSet<String>,
    /// Whether two observations in a row found the queue empty, and nothing was changed between them.
    is_quiet: bool,
}

impl Checks {
    /// Reads the state of all reservations. Returns their number by status.
    pub(crate) fn read(&mut self, services: &Services) -> BTreeMap<Status, usize> {
        let (mut statuses, mut owners) = (BTreeMap::new(), HashMap::new());
        self.sold_twice.clear();
        self.inconsistent.clear();
        for reservation in services.reservations() {
            *statuses.entry(reservation.status).or_default() += 1;
            let Reservation { reservation_id: id, event_id, seat_ids, status, .. } = reservation;
            let seats = services.seat_state(&id);
            if seats == Some(SeatState::Sold) {
                for seat_id in seat_ids {
                    if owners.insert((event_id.clone(), seat_id), id.clone()).is_some() {
                        self.sold_twice.push(id.clone());
                    }
                }
                self.sold.insert(id.clone());
            } else if self.sold.remove(&id) {
                self.unsold.push(id.clone());
            }
            let expected = match status {
                Status::Hold => SeatState::Hold,
                Status::Confirmed => SeatState::Sold,
                Status::Cancelled | Status::Expired => SeatState::Available,
            };
            if seats != Some(expected) {
                self.inconsistent.push(id);
            }
        }
        statuses
    }

    /// Notes that a message was returned or acknowledged.
    pub(crate) fn delivered(&mut self, message_id: &str, is_acknowledged: bool) {
        match is_acknowledged {
            true => _ = self.unfinished.remove(message_id),
            false => _ = self.unfinished.insert(message_id.to_owned()),
        }
    }

    /// Notes that the console has deleted a message from the dead-letter queue or moved it back.
    pub(crate) fn removed(&mut self, message_id: &str) {
        self.unfinished.remove(message_id);
    }

    /// Sets whether two observations in a row found the queue empty, and nothing was changed between them.
    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// The state of all invariants. `is_current` says whether nothing has changed since the reservations were read.
    pub(crate) fn invariants(&self, depth: QueueDepth, is_current: bool) -> Vec<Invariant> {
        let can_change = !self.is_quiet || !is_current || depth.dead > 0;
        // A dead letter is not lost.
        let missing = self.unfinished.len().saturating_sub(depth.dead);
        vec![
            Invariant::new("No seat is sold twice", self.sold_twice.len(), &self.sold_twice, false),
            Invariant::new("No sold seat is released", self.unsold.len(), &self.unsold, false),
            Invariant::new("Status and seats agree", self.inconsistent.len(), &self.inconsistent, can_change),
            Invariant::new("No event is lost", missing, &self.unfinished, !self.is_quiet),
        ]
    }
}

impl Invariant {
    /// `count` is the number of reservations or messages for which the invariant does not hold, and `ids` are their ids.
    /// `can_change` says whether events that are still in a queue can change that.
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
