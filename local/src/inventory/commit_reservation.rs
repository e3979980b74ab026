//! `CommitReservation` sells held seats, once, to the reservation that holds them.

use std::time::SystemTime;

use tonic::Status;

use super::operation::{InventoryRequest, error, idempotency_key_error, seat_messages};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, ErrorCode, SeatStatus};
use crate::proto::reservation::v1::{CommitReservationRequest, CommitReservationResponse, CommitStatus};
use crate::seats::{SeatState, Seats};

impl InventoryRequest for CommitReservationRequest {
    const OPERATION: Operation = Operation::CommitReservation;
    const METHOD: &str = "CommitReservation";
    type Reply = CommitReservationResponse;

    fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    fn perform(&self, seats: &mut Seats) -> Result<Self::Reply, Status> {
        let reply = |status: CommitStatus, error| Ok(Self::reply(status.into(), Some(error)));
        match seats.replies.find(&self.idempotency_key, self) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Ok(earlier),
            Err(cause) => return reply(CommitStatus::Unspecified, idempotency_key_error(cause)),
        }
        let hold = seats.find_hold(&self.reservation_id, &self.event_id, &self.seat_ids, self.quantity)?;
        let Some(hold) = hold else {
            return reply(CommitStatus::Unspecified, error(ErrorCode::NotFound, "no such hold"));
        };
        if hold.state == SeatState::Available {
            let error = error(ErrorCode::ReservationExpired, "the hold was released");
            return reply(CommitStatus::FailedExpired, error);
        }
        hold.state = SeatState::Sold;
        let reply = CommitReservationResponse {
            order_id: format!("order-{}", self.reservation_id),
            sold_seats: seat_messages(&hold.seat_ids, SeatStatus::Sold),
            status: CommitStatus::Success.into(),
            committed_at: Some(SystemTime::now().into()),
            error: None,
        };
        seats.replies.insert(&self.idempotency_key, self.clone(), reply.clone());
        Ok(reply)
    }

    fn reply(status: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { status, error, ..Self::Reply::default() }
    }

    fn status_and_error(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (reply.status().as_str_name().trim_start_matches("COMMIT_STATUS_"), reply.error.as_ref())
    }
}
