//! `ReleaseHold`: held seats become available; sold seats never do.

use std::time::SystemTime;

use tonic::Status;

use super::{Ask, Inventory, error, key_error, seats};
use crate::calls::Operation;
use crate::proto::common::v1::{Error, ErrorCode, SeatStatus};
use crate::proto::reservation::v1::{ReleaseHoldRequest, ReleaseHoldResponse, ReleaseStatus};
use crate::seats::SeatState;

impl Ask for ReleaseHoldRequest {
    const OPERATION: Operation = Operation::ReleaseHold;
    const METHOD: &str = "ReleaseHold";
    type Reply = ReleaseHoldResponse;

    fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    fn work(&self, inventory: &mut Inventory) -> Result<Self::Reply, Status> {
        let reply = |status: ReleaseStatus, error| Ok(Self::reply(status.into(), error));
        match inventory.replies.earlier(&self.idempotency_key, self) {
            Ok(None) => {}
            Ok(Some(earlier)) => return Ok(earlier),
            Err(bad) => return reply(ReleaseStatus::Unspecified, Some(key_error(bad))),
        }
        let held =
            inventory.seats.named(&self.reservation_id, &self.event_id, &self.seat_ids, self.quantity)?;
        let Some(held) = held else {
            return reply(ReleaseStatus::NotFound, None);
        };
        match held.state {
            SeatState::Available => reply(ReleaseStatus::AlreadyReleased, None),
            SeatState::Sold => {
                let error = error(ErrorCode::FailedPrecondition, "the seats are sold");
                reply(ReleaseStatus::Failed, Some(error))
            }
            SeatState::Hold => {
                held.state = SeatState::Available;
                let reply = ReleaseHoldResponse {
                    released_seats: seats(&held.seat_ids, SeatStatus::Available),
                    status: ReleaseStatus::Success.into(),
                    released_at: Some(SystemTime::now().into()),
                    error: None,
                };
                inventory.replies.keep(&self.idempotency_key, self.clone(), reply.clone());
                Ok(reply)
            }
        }
    }

    fn reply(status: i32, error: Option<Error>) -> Self::Reply {
        Self::Reply { status, error, ..Self::Reply::default() }
    }

    fn parts(reply: &Self::Reply) -> (&'static str, Option<&Error>) {
        (reply.status().as_str_name().trim_start_matches("RELEASE_STATUS_"), reply.error.as_ref())
    }
}
