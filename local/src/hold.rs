//! A hold: the state of a reservation and its seats before the function processes an event about it.

use serde::{Deserialize, Serialize};

/// A hold to create in both services. In production, the reservation API creates it when a user selects
/// seats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The id of the reservation in both services.
    pub reservation_id: String,
    /// The id of the ticketed event, for example a concert.
    pub event_id: String,
    /// The user who holds the seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The seats; empty in a quantity-based hold.
    #[serde(default)]
    pub seat_ids: Vec<String>,
    /// The number of seats in a quantity-based hold. Ignored if `seat_ids` is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
}

impl Hold {
    /// The number of seats, or `quantity` in a quantity-based hold.
    pub(crate) fn seat_count(&self) -> u32 {
        match u32::try_from(self.seat_ids.len()).unwrap_or(u32::MAX) {
            0 => self.quantity.unwrap_or_default(),
            seats => seats,
        }
    }
}

/// The reason why a hold was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// The hold does not contain this required part.
    #[error("a hold requires {0}")]
    Incomplete(&'static str),
    /// There is already a reservation with this id.
    #[error("reservation {0} exists already")]
    ReservationExists(String),
    /// The seat is held by or sold to another reservation.
    #[error("seat {seat_id} is taken by {reservation_id}")]
    SeatTaken {
        /// The seat that was requested.
        seat_id: String,
        /// The reservation that holds or bought the seat.
        reservation_id: String,
    },
}
