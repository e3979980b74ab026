//! The state that the reservation API, the inventory service and the control API share.

use std::sync::Mutex;

use crate::calls::CallLog;
use crate::capacity::RequestQueues;
use crate::faults::Faults;
use crate::hold::{Hold, HoldRefused};
use crate::lock::locked;
use crate::reservations::{Reservation, Reservations};
use crate::seats::Seats;

/// The data of both services, the requested faults and the recorded calls.
#[derive(Default)]
pub(crate) struct SharedState {
    pub(crate) reservations: Mutex<Reservations>,
    pub(crate) seats: Mutex<Seats>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: CallLog,
    pub(crate) request_queues: RequestQueues,
    /// The bearer token that the reservation API requires, if it requires one.
    pub(crate) required_token: Mutex<Option<String>>,
}

impl SharedState {
    /// Creates the hold in both services, or in neither.
    pub(crate) fn create_hold(&self, hold: Hold) -> Result<Reservation, HoldRefused> {
        let mut reservations = locked(&self.reservations);
        if let Ok(reservation) = reservations.read(&hold.reservation_id) {
            return Err(HoldRefused::ReservationExists(reservation.reservation_id));
        }
        locked(&self.seats).add_hold(&hold)?;
        Ok(reservations.add_hold(hold))
    }
}
