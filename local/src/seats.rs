//! The inventory's own state: holds, their seats, and the one state all seats of a hold share.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::services::{Hold, HoldRefused};

/// State of a seat (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SeatState {
    /// Free, or free again.
    Available,
    /// Kept for a reservation.
    Hold,
    /// For good.
    Sold,
}

/// The seat map of one event.
#[derive(Default, Serialize)]
pub(crate) struct SeatMap {
    seats: BTreeMap<String, Owner>,
    quantity_holds: BTreeMap<String, QuantityHold>,
}

#[derive(Serialize)]
struct Owner {
    state: SeatState,
    /// Whose hold had the seat last.
    reservation_id: String,
}

#[derive(Serialize)]
struct QuantityHold {
    state: SeatState,
    quantity: u32,
}

#[derive(Default)]
pub(crate) struct Seats {
    holds: HashMap<String, Held>,
    /// By event and seat: the reservation whose hold had it last. A seat no hold ever had is available.
    last_owner: HashMap<String, BTreeMap<String, String>>,
}

pub(crate) struct Held {
    event_id: String,
    pub(crate) seat_ids: Vec<String>,
    quantity: u32,
    pub(crate) state: SeatState,
}

impl Seats {
    pub(crate) fn hold(&mut self, hold: &Hold) -> Result<(), HoldRefused> {
        let missing = match hold {
            hold if hold.reservation_id.is_empty() => Some("a reservation_id"),
            hold if hold.event_id.is_empty() => Some("an event_id"),
            hold if hold.places() == 0 => Some("seat_ids or a quantity"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(HoldRefused::Incomplete(missing));
        }
        for seat_id in &hold.seat_ids {
            if let Some(reservation_id) = self.taken_by(&hold.event_id, seat_id) {
                let (seat_id, reservation_id) = (seat_id.clone(), reservation_id.to_owned());
                return Err(HoldRefused::SeatTaken { seat_id, reservation_id });
            }
        }
        let seats = self.last_owner.entry(hold.event_id.clone()).or_default();
        seats.extend(hold.seat_ids.iter().map(|seat_id| (seat_id.clone(), hold.reservation_id.clone())));
        let held = Held {
            event_id: hold.event_id.clone(),
            seat_ids: hold.seat_ids.clone(),
            quantity: hold.places(),
            state: SeatState::Hold,
        };
        self.holds.insert(hold.reservation_id.clone(), held);
        Ok(())
    }

    pub(crate) fn state(&self, reservation_id: &str) -> Option<SeatState> {
        self.holds.get(reservation_id).map(|held| held.state)
    }

    pub(crate) fn of(&self, reservation_id: &str) -> BTreeMap<String, SeatState> {
        let Some(held) = self.holds.get(reservation_id) else {
            return BTreeMap::new();
        };
        let state = |seat_id| (seat_id, held.state);
        match held.seat_ids.is_empty() {
            true => (1..=held.quantity).map(|number| state(format!("#{number}"))).collect(),
            false => held.seat_ids.iter().cloned().map(state).collect(),
        }
    }

    pub(crate) fn map(&self, event_id: &str) -> SeatMap {
        let mut map = SeatMap::default();
        for (reservation_id, held) in self.holds.iter().filter(|(_, held)| held.event_id == event_id) {
            let (state, quantity) = (held.state, held.quantity);
            if held.seat_ids.is_empty() {
                map.quantity_holds.insert(reservation_id.clone(), QuantityHold { state, quantity });
            }
        }
        for seat_id in self.last_owner.get(event_id).into_iter().flat_map(BTreeMap::keys) {
            if let Some((reservation_id, state)) = self.owner(event_id, seat_id) {
                let reservation_id = reservation_id.to_owned();
                map.seats.insert(seat_id.clone(), Owner { state, reservation_id });
            }
        }
        map
    }

    /// The event's seats that were held before and can be held again.
    pub(crate) fn free(&self, event_id: &str) -> Vec<&String> {
        let seat_ids = self.last_owner.get(event_id).into_iter().flat_map(BTreeMap::keys);
        seat_ids.filter(|seat_id| self.taken_by(event_id, seat_id).is_none()).collect()
    }

    /// Who holds or bought the seat.
    pub(crate) fn taken_by(&self, event_id: &str, seat_id: &str) -> Option<&str> {
        let (reservation_id, state) = self.owner(event_id, seat_id)?;
        (state != SeatState::Available).then_some(reservation_id)
    }

    /// Whose hold had the seat last, and what that made of it.
    fn owner(&self, event_id: &str, seat_id: &str) -> Option<(&str, SeatState)> {
        let reservation_id = self.last_owner.get(event_id)?.get(seat_id)?;
        Some((reservation_id, self.state(reservation_id)?))
    }

    /// The hold the request names; a request that does not match it is invalid.
    pub(crate) fn named(
        &mut self,
        reservation_id: &str,
        event_id: &str,
        seat_ids: &[String],
        quantity: i32,
    ) -> Result<Option<&mut Held>, Status> {
        if event_id.is_empty() {
            return Err(Status::invalid_argument("event_id is empty"));
        }
        let Some(held) = self.holds.get_mut(reservation_id) else {
            return Ok(None);
        };
        let set = |seat_ids: &'_ [String]| seat_ids.iter().cloned().collect::<HashSet<_>>();
        if held.event_id != event_id {
            Err(Status::invalid_argument("event_id is not the hold's"))
        } else if !held.seat_ids.is_empty() && set(&held.seat_ids) != set(seat_ids) {
            Err(Status::invalid_argument("seat_ids are not the hold's"))
        } else if u32::try_from(quantity) != Ok(held.quantity) {
            Err(Status::invalid_argument("quantity is not the hold's"))
        } else {
            Ok(Some(held))
        }
    }
}
