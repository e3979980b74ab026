//! `CheckAvailability`: what of an event can be held now. Seats here have no sections: the event is one.

use tonic::Status;

use super::{Ask, Inventory, seats};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, SeatStatus};
use crate::proto::reservation::v1::{CheckAvailabilityRequest, CheckAvailabilityResponse};

impl Ask for CheckAvailabilityRequest {
    const OPERATION: Operation = Operation::CheckAvailability;
    const METHOD: &str = "CheckAvailability";
    type Reply = CheckAvailabilityResponse;

    fn reservation_id(&self) -> &str {
        ""
    }

    fn work(&self, inventory: &mut Inventory) -> Result<Self::Reply, Status> {
        if self.event_id.is_empty() {
            return Err(Status::invalid_argument("event_id is empty"));
        }
        let remaining = inventory.seats.free(&self.event_id);
        let remaining_in_section = i32::try_from(remaining.len()).unwrap_or(i32::MAX);
        if self.seat_ids.is_empty() {
            return Ok(CheckAvailabilityResponse {
                available: remaining_in_section >= self.quantity,
                available_seats: seats(remaining, SeatStatus::Available),
                remaining_in_section,
                ..CheckAvailabilityResponse::default()
            });
        }
        let taken = |seat_id: &&String| inventory.seats.taken_by(&self.event_id, seat_id).is_some();
        let (taken, free): (Vec<_>, Vec<_>) = self.seat_ids.iter().partition(taken);
        Ok(CheckAvailabilityResponse {
            available: taken.is_empty(),
            available_seats: seats(free, SeatStatus::Available),
            unavailable_seat_ids: taken.into_iter().cloned().collect(),
            remaining_in_section,
            error: None,
        })
    }

    fn reply(_: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { error, ..Self::Reply::default() }
    }

    fn parts(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (if reply.available { "AVAILABLE" } else { "UNAVAILABLE" }, reply.error.as_ref())
    }
}
