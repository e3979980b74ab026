//! The state of a reservation and of its seat in the two services, with the transitions that the contract
//! describes.

use reservation_worker::reservation::Ending;
use reservation_worker::services::inventory::proto::common::v1::{Error, ErrorCode};
use reservation_worker::services::inventory::proto::reservation::v1::{
    CommitReservationResponse, CommitStatus, ReleaseHoldResponse, ReleaseStatus,
};
use reservation_worker::services::inventory::{self, classify};

/// The state of the seat that a reservation has held, in the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seat {
    Held,
    Sold,
    Released,
}

/// The state of a reservation in both services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Booking {
    /// `None` means `HOLD`.
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

    /// Ends the reservation. Only a reservation in `HOLD` changes its status.
    pub fn end(&mut self, to: Ending) -> StatusReply {
        match self.status {
            Some(found) => StatusReply::AlreadyEnded(found),
            None => {
                self.status = Some(to);
                StatusReply::Done
            }
        }
    }

    /// Releases the seat. A sold seat stays sold.
    pub fn release(&mut self) -> Result<(), inventory::Error> {
        let reply = |status: ReleaseStatus, error| {
            classify(Ok(ReleaseHoldResponse { status: status.into(), error, ..Default::default() }))
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

    /// Sells the seat. A released seat cannot be sold.
    pub fn commit(&mut self) -> Result<(), inventory::Error> {
        let reply = |status: CommitStatus, error| {
            classify(Ok(CommitReservationResponse { status: status.into(), error, ..Default::default() }))
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
