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

    pub(crate) fn invariants(&self, depth: QueueDepth) -> Vec<Invariant> {
        let never = |name, ids: &[String]| {
            Invariant::new(
                name,
                if ids.is_empty() { Verdict::Holds } else { Verdict::Violated },
                ids.len(),
                ids,
            )
        };
        let has_queued = !self.is_quiet || depth.unfinished() + depth.dead > 0;
        let finally = match (self.unequal.is_empty(), has_queued) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Waiting,
            (false, false) => Verdict::Violated,
        };
        let queued = depth.unfinished() + depth.dead;
        let lost = if self.is_quiet { self.unfinished.len().saturating_sub(queued) } else { 0 };
        // A dead letter is not lost.
        let waiting = self.unfinished.len().saturating_sub(depth.dead);
        let delivery = match (lost, waiting) {
            (0, 0) => Verdict::Holds,
            (0, _) => Verdict::Waiting,
            _ => Verdict::Violated,
        };
        let unfinished: Vec<_> = self.unfinished.iter().take(EXAMPLES).cloned().collect();
        vec![
            never("No seat is sold twice", &self.sold_twice),
            never("No sold seat is released", &self.unsold),
            Invariant::new("Status and seats agree", finally, self.unequal.len(), &self.unequal),
            Invariant::new("No event is lost", delivery, waiting, &unfinished),
        ]
    }
}

impl Invariant {
    fn new(name: &'static str, verdict: Verdict, count: usize, ids: &[String]) -> Self {
        Self { name, verdict, count, examples: ids.iter().take(EXAMPLES).cloned().collect() }
    }
}
