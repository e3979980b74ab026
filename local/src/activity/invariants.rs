//! The invariants of contract section 1, checked while events are processed.

use std::collections::{BTreeMap, HashMap, HashSet};

use reservation_worker_local::{Reservation, SeatState, Services, Status};
use serde::Serialize;

use super::queue_depth::QueueDepth;

/// The largest number of reservations or messages that are named.
const EXAMPLES: usize = 5;

/// One invariant and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Invariant {
    name: &'static str,
    verdict: Verdict,
    /// The number of reservations or messages that are not as they must be in the end.
    count: usize,
    /// Some of their ids.
    examples: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Holds,
    /// Events that are still in a queue can make it hold.
    Waiting,
    Violated,
}

/// The facts that the invariants need from one moment to the next.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// The reservations whose seats were sold.
    sold: HashSet<String>,
    /// The reservations whose sold seats have later had another state.
    unsold: Vec<String>,
    sold_twice: Vec<String>,
    /// The reservations whose status and seats disagree.
    unequal: Vec<String>,
    /// The messages that were returned and have not been acknowledged since.
    unfinished: HashSet<String>,
    /// Whether nothing is in the queue, and nothing was changed while this was found out.
    is_quiet: bool,
}

impl Checks {
    /// Reads the state of all reservations. Returns their number by status.
    pub(crate) fn read(&mut self, services: &Services) -> BTreeMap<Status, usize> {
        let (mut statuses, mut owners) = (BTreeMap::new(), HashMap::new());
        self.sold_twice.clear();
        self.unequal.clear();
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
                self.unequal.push(id);
            }
        }
        statuses
    }

    /// A message was returned or acknowledged.
    pub(crate) fn delivered(&mut self, message_id: &str, is_acknowledged: bool) {
        match is_acknowledged {
            true => _ = self.unfinished.remove(message_id),
            false => _ = self.unfinished.insert(message_id.to_owned()),
        }
    }

    /// Somebody has deleted or moved a message of the dead-letter queue.
    pub(crate) fn removed(&mut self, message_id: &str) {
        self.unfinished.remove(message_id);
    }

    /// Sets whether nothing is in the queue, and nothing was changed while this was found out.
    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// `is_current`: nothing has changed since the reservations were read.
    pub(crate) fn invariants(&self, depth: QueueDepth, is_current: bool) -> Vec<Invariant> {
        let can_change = !self.is_quiet || !is_current || depth.dead > 0;
        // A dead letter is not lost.
        let missing = self.unfinished.len().saturating_sub(depth.dead);
        vec![
            Invariant::new("No seat is sold twice", self.sold_twice.len(), &self.sold_twice, false),
            Invariant::new("No sold seat is released", self.unsold.len(), &self.unsold, false),
            Invariant::new("Status and seats agree", self.unequal.len(), &self.unequal, can_change),
            Invariant::new("No event is lost", missing, &self.unfinished, !self.is_quiet),
        ]
    }
}

impl Invariant {
    /// `can_change`: events that are still in a queue can make it hold.
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
        Self { name, verdict, count, examples: ids.into_iter().take(EXAMPLES).cloned().collect() }
    }
}
