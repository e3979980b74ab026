//! `CommitReservation`: held seats are sold, once, to the reservation that holds them.

use std::time::SystemTime;

use tonic::Status;

use super::{Ask, Inventory, error, key_error, seats};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, ErrorCode, SeatStatus};
use crate::proto::reservation::v1::{CommitReservationRequest, CommitReservationResponse, CommitStatus};
use crate::seats::SeatState;

impl Ask for CommitReservationRequest {
    const OPERATION: Operation = Operation::CommitReservation;
    const METHOD: &str = "CommitReservation";
    type Reply = CommitReservationResponse;

    fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    fn work(&self, inventory: &mut Inventory) -> Result<Self::Reply, Status> {
        let reply = |status: CommitStatus, error| Ok(Self::reply(status.into(), Some(error)));
        match inventory.replies.earlier(&self.idempotency_key, self) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Ok(earlier),
            Err(bad) => return reply(CommitStatus::Unspecified, key_error(bad)),
        }
        let held =
            inventory.seats.named(&self.reservation_id, &self.event_id, &self.seat_ids, self.quantity)?;
        let Some(held) = held else {
            return reply(CommitStatus::Unspecified, error(ErrorCode::NotFound, "no such hold"));
        };
        if held.state == SeatState::Available {
            let error = error(ErrorCode::ReservationExpired, "the hold was released");
            return reply(CommitStatus::FailedExpired, error);
        }
        held.state = SeatState::Sold;
        let reply = CommitReservationResponse {
            order_id: format!("order-{}", self.reservation_id),
            sold_seats: seats(&held.seat_ids, SeatStatus::Sold),
            status: CommitStatus::Success.into(),
            committed_at: Some(SystemTime::now().into()),
            error: None,
        };
        inventory.replies.keep(&self.idempotency_key, self.clone(), reply.clone());
        Ok(reply)
    }

    fn reply(status: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { status, error, ..Self::Reply::default() }
    }

    fn parts(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (reply.status().as_str_name().trim_start_matches("COMMIT_STATUS_"), reply.error.as_ref())
    }
}
