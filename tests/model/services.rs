//! The two services as the contract describes them: one reservation each, which wants the one seat there is.

use reservation_worker::services::inventory::proto::common::v1::{Error, ErrorCode};
use reservation_worker::services::inventory::proto::reservation::v1::{
    CommitReservationResponse, CommitStatus, ReleaseHoldResponse, ReleaseStatus,
};
use reservation_worker::services::inventory::{self, judge};
use reservation_worker::reservation::Ending;

/// What the inventory keeps of a reservation's hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seat {
    Held,
    Sold,
    Released,
}

/// What both services know of a reservation that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Booking {
    /// `None` is `HOLD`.
    pub status: Option<Ending>,
    pub seat: Seat,
}

/// The reply to a status update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusReply {
    Done,
    AlreadyEnded(Ending),
}

impl Booking {
    pub const HELD: Self = Self { status: None, seat: Seat::Held };

    pub fn owns_the_seat(self) -> bool {
        self.seat != Seat::Released
    }

    /// The reservation moves once, from `HOLD`.
    pub fn end(&mut self, to: Ending) -> StatusReply {
        match self.status {
            Some(found) => StatusReply::AlreadyEnded(found),
            None => {
                self.status = Some(to);
                StatusReply::Done
            }
        }
    }

    /// Sold seats stay sold.
    pub fn release(&mut self) -> Result<(), inventory::Error> {
        let reply = |status: ReleaseStatus, error| {
            judge(Ok(ReleaseHoldResponse { status: status.into(), error, ..Default::default() }))
        };
        match self.seat {
            Seat::Held => {
                self.seat = Seat::Released;
                reply(ReleaseStatus::Success, None)
            }
            Seat::Released => reply(ReleaseStatus::AlreadyReleased, None),
            Seat::Sold => reply(ReleaseStatus::Failed, Some(error(ErrorCode::FailedPrecondition))),
        }
    }

    /// Only held seats can be sold.
    pub fn commit(&mut self) -> Result<(), inventory::Error> {
        let reply = |status: CommitStatus, error| {
            judge(Ok(CommitReservationResponse { status: status.into(), error, ..Default::default() }))
        };
        match self.seat {
            Seat::Held | Seat::Sold => {
                self.seat = Seat::Sold;
                reply(CommitStatus::Success, None)
            }
            Seat::Released => reply(CommitStatus::FailedExpired, Some(error(ErrorCode::ReservationExpired))),
        }
    }
}

fn error(code: ErrorCode) -> Error {
    Error { code: code.into(), ..Error::default() }
}
