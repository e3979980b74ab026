//! `ReleaseHold` makes held seats available. It never releases sold seats.

use std::time::SystemTime;

use tonic::Status;

use super::operation::{InventoryRequest, error, idempotency_key_error, seat_messages};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, ErrorCode, SeatStatus};
use crate::proto::reservation::v1::{ReleaseHoldRequest, ReleaseHoldResponse, ReleaseStatus};
use crate::seats::{SeatState, Seats};

impl InventoryRequest for ReleaseHoldRequest {
    const OPERATION: Operation = Operation::ReleaseHold;
    const METHOD: &str = "ReleaseHold";
    type Reply = ReleaseHoldResponse;

    fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    fn perform(&self, seats: &mut Seats) -> Result<Self::Reply, Status> {
        let reply = |status: ReleaseStatus, error| Ok(Self::reply(status.into(), error));
        match seats.replies.find(&self.idempotency_key, self) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Ok(earlier),
            Err(cause) => return reply(ReleaseStatus::Unspecified, Some(idempotency_key_error(cause))),
        }
        let hold = seats.find_hold(&self.reservation_id, &self.event_id, &self.seat_ids, self.quantity)?;
        let Some(hold) = hold else {
            return reply(ReleaseStatus::NotFound, None);
        };
        match hold.state {
            SeatState::Available => reply(ReleaseStatus::AlreadyReleased, None),
            SeatState::Sold => {
                let error = error(ErrorCode::FailedPrecondition, "the seats are sold");
                reply(ReleaseStatus::Failed, Some(error))
            }
            SeatState::Hold => {
                hold.state = SeatState::Available;
                let reply = ReleaseHoldResponse {
                    released_seats: seat_messages(&hold.seat_ids, SeatStatus::Available),
                    status: ReleaseStatus::Success.into(),
                    released_at: Some(SystemTime::now().into()),
                    error: None,
                };
                seats.replies.insert(&self.idempotency_key, self.clone(), reply.clone());
                Ok(reply)
            }
        }
    }

    fn reply(status: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { status, error, ..Self::Reply::default() }
    }

    fn status_and_error(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (reply.status().as_str_name().trim_start_matches("RELEASE_STATUS_"), reply.error.as_ref())
    }
}
