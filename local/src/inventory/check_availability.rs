//! `CheckAvailability` returns which seats of an event can be held now. The whole event counts as one
//! section.

use tonic::Status;

use super::operation::{InventoryRequest, seat_messages};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, SeatStatus};
use crate::proto::reservation::v1::{CheckAvailabilityRequest, CheckAvailabilityResponse};
use crate::seats::Seats;

impl InventoryRequest for CheckAvailabilityRequest {
    const OPERATION: Operation = Operation::CheckAvailability;
    const METHOD: &str = "CheckAvailability";
    type Reply = CheckAvailabilityResponse;

    fn reservation_id(&self) -> &str {
        ""
    }

    fn perform(&self, seats: &mut Seats) -> Result<Self::Reply, Status> {
        if self.event_id.is_empty() {
            return Err(Status::invalid_argument("event_id is empty"));
        }
        let available = seats.available(&self.event_id);
        let remaining_in_section = i32::try_from(available.len()).unwrap_or(i32::MAX);
        if self.seat_ids.is_empty() {
            return Ok(CheckAvailabilityResponse {
                available: remaining_in_section >= self.quantity,
                available_seats: seat_messages(available, SeatStatus::Available),
                remaining_in_section,
                ..CheckAvailabilityResponse::default()
            });
        }
        let is_taken = |seat_id: &&String| seats.current_owner(&self.event_id, seat_id).is_some();
        let (taken, available): (Vec<_>, Vec<_>) = self.seat_ids.iter().partition(is_taken);
        Ok(CheckAvailabilityResponse {
            available: taken.is_empty(),
            available_seats: seat_messages(available, SeatStatus::Available),
            unavailable_seat_ids: taken.into_iter().cloned().collect(),
            remaining_in_section,
            error: None,
        })
    }

    fn reply(_: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { error, ..Self::Reply::default() }
    }

    fn status_and_error(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (if reply.available { "AVAILABLE" } else { "UNAVAILABLE" }, reply.error.as_ref())
    }
}
