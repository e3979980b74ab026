//! The state of the inventory: the holds and their seats. All seats of a hold have the same state.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::hold::{Hold, HoldRefused};
use crate::idempotency::ReplyCache;

/// The state of a seat (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SeatState {
    /// Not held and not sold.
    Available,
    /// Held for a reservation.
    Hold,
    /// Sold to a reservation. This state is final.
    Sold,
}

/// The seats and the quantity-based holds of one ticketed event.
#[derive(Debug, Default, Serialize)]
pub struct SeatMap {
    /// By seat id.
    pub seats: BTreeMap<String, SeatWithOwner>,
    /// By reservation id.
    pub quantity_holds: BTreeMap<String, QuantityHold>,
}

/// A seat that was held at least once.
#[derive(Debug, Serialize)]
pub struct SeatWithOwner {
    /// The state of the seat.
    pub state: SeatState,
    /// The reservation that was the last one to hold this seat.
    pub reservation_id: String,
}

/// A hold of a number of seats without seat ids.
#[derive(Debug, Serialize)]
pub struct QuantityHold {
    /// The state of the seats.
    pub state: SeatState,
    /// The number of seats.
    pub quantity: u32,
}

/// The holds and seats of all ticketed events.
#[derive(Default)]
pub(crate) struct Seats {
    /// By reservation id.
    holds: HashMap<String, SeatHold>,
    /// By event id and seat id: the id of the reservation that was the last one to hold this seat. A seat that was
    /// never held is available.
    last_owner: HashMap<String, BTreeMap<String, String>>,
    pub(crate) replies: ReplyCache,
    /// How often a hold was added, or may have been changed by a request.
    revision: usize,
}

pub(crate) struct SeatHold {
    event_id: String,
    pub(crate) seat_ids: Vec<String>,
    quantity: u32,
    pub(crate) state: SeatState,
}

impl Seats {
    pub(crate) fn add_hold(&mut self, hold: &Hold) -> Result<(), HoldRefused> {
        let missing = match hold {
            hold if hold.reservation_id.is_empty() => Some("a reservation_id"),
            hold if hold.event_id.is_empty() => Some("an event_id"),
            hold if hold.seat_count() == 0 => Some("seat_ids or a quantity"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(HoldRefused::Incomplete(missing));
        }
        for seat_id in &hold.seat_ids {
            if let Some(reservation_id) = self.current_owner(&hold.event_id, seat_id) {
                let (seat_id, reservation_id) = (seat_id.clone(), reservation_id.to_owned());
                return Err(HoldRefused::SeatTaken { seat_id, reservation_id });
            }
        }
        let seats = self.last_owner.entry(hold.event_id.clone()).or_default();
        seats.extend(hold.seat_ids.iter().map(|seat_id| (seat_id.clone(), hold.reservation_id.clone())));
        let added = SeatHold {
            event_id: hold.event_id.clone(),
            seat_ids: hold.seat_ids.clone(),
            quantity: hold.seat_count(),
            state: SeatState::Hold,
        };
        self.holds.insert(hold.reservation_id.clone(), added);
        self.revision += 1;
        Ok(())
    }

    /// How often a hold was added, or may have been changed by a request.
    pub(crate) fn revision(&self) -> usize {
        self.revision
    }

    pub(crate) fn state(&self, reservation_id: &str) -> Option<SeatState> {
        self.holds.get(reservation_id).map(|hold| hold.state)
    }

    /// The state of each seat in the hold, by seat id; `#1`, `#2` and so on in a quantity-based hold.
    pub(crate) fn states(&self, reservation_id: &str) -> BTreeMap<String, SeatState> {
        let Some(hold) = self.holds.get(reservation_id) else {
            return BTreeMap::new();
        };
        let state = |seat_id| (seat_id, hold.state);
        match hold.seat_ids.is_empty() {
            true => (1..=hold.quantity).map(|number| state(format!("#{number}"))).collect(),
            false => hold.seat_ids.iter().cloned().map(state).collect(),
        }
    }

    pub(crate) fn map(&self, event_id: &str) -> SeatMap {
        let mut map = SeatMap::default();
        for (reservation_id, hold) in self.holds.iter().filter(|(_, hold)| hold.event_id == event_id) {
            let (state, quantity) = (hold.state, hold.quantity);
            if hold.seat_ids.is_empty() {
                map.quantity_holds.insert(reservation_id.clone(), QuantityHold { state, quantity });
            }
        }
        for seat_id in self.last_owner.get(event_id).into_iter().flat_map(BTreeMap::keys) {
            if let Some((reservation_id, state)) = self.last_owner_and_state(event_id, seat_id) {
                let reservation_id = reservation_id.to_owned();
                map.seats.insert(seat_id.clone(), SeatWithOwner { state, reservation_id });
            }
        }
        map
    }

    /// The seats of the event that were held before and are available again.
    pub(crate) fn available(&self, event_id: &str) -> Vec<&String> {
        let seat_ids = self.last_owner.get(event_id).into_iter().flat_map(BTreeMap::keys);
        seat_ids.filter(|seat_id| self.current_owner(event_id, seat_id).is_none()).collect()
    }

    /// The reservation that holds or bought the seat.
    pub(crate) fn current_owner(&self, event_id: &str, seat_id: &str) -> Option<&str> {
        let (reservation_id, state) = self.last_owner_and_state(event_id, seat_id)?;
        (state != SeatState::Available).then_some(reservation_id)
    }

    /// The reservation that was the last one to hold the seat, and the state of that hold.
    fn last_owner_and_state(&self, event_id: &str, seat_id: &str) -> Option<(&str, SeatState)> {
        let reservation_id = self.last_owner.get(event_id)?.get(seat_id)?;
        Some((reservation_id, self.state(reservation_id)?))
    }

    /// The hold that a request refers to and may change; `None` if the reservation has none.
    ///
    /// # Errors
    ///
    /// The request differs from the hold.
    pub(crate) fn find_hold(
        &mut self,
        reservation_id: &str,
        event_id: &str,
        seat_ids: &[String],
        quantity: i32,
    ) -> Result<Option<&mut SeatHold>, tonic::Status> {
        if event_id.is_empty() {
            return Err(tonic::Status::invalid_argument("event_id is empty"));
        }
        let Some(hold) = self.holds.get_mut(reservation_id) else {
            return Ok(None);
        };
        self.revision += 1;
        let set = |seat_ids: &'_ [String]| seat_ids.iter().cloned().collect::<HashSet<_>>();
        if hold.event_id != event_id {
            Err(tonic::Status::invalid_argument("event_id differs from the hold"))
        } else if !hold.seat_ids.is_empty() && set(&hold.seat_ids) != set(seat_ids) {
            Err(tonic::Status::invalid_argument("seat_ids differ from the hold"))
        } else if u32::try_from(quantity) != Ok(hold.quantity) {
            Err(tonic::Status::invalid_argument("quantity differs from the hold"))
        } else {
            Ok(Some(hold))
        }
    }
}
