//! What a reply of the inventory means: the gRPC code, and in an `OK` reply the status and the error in
//! its body (contract section 3). Every number has a meaning, those of a newer service too.

use std::borrow::Cow;
use std::error::Error as _;

use tonic::{Code, Status};

use super::proto::common::v1::{Error as BodyError, ErrorCode};
use super::proto::reservation::v1::{
    CommitReservationResponse, CommitStatus, ReleaseHoldResponse, ReleaseStatus,
};
use crate::breaker::Open;
use crate::fault::{Classify, Fault, cause};
use crate::reason::Reason;

/// A call to the inventory that was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not called at all.
    #[error("inventory: {0}")]
    NotCalled(#[from] Open),
    /// What it said, without any message of the service, and what that means.
    #[error("inventory: {0}")]
    Said(String, Fault, Reason),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::NotCalled(open) => Fault::NotCalled(*open),
            Self::Said(_, fault, _) => *fault,
        }
    }

    fn code(&self) -> Reason {
        match self {
            Self::NotCalled(_) => Reason::InventoryUnavailable,
            Self::Said(_, _, code) => *code,
        }
    }
}

/// In rising order of gravity: where status and error of one reply disagree, the graver counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Done,
    Transient,
    /// Transient, for it is the deployment that is wrong.
    Denied,
    Rejected,
}

/// A reply that can be `OK` on the wire and still be a failure.
pub trait Reply {
    /// The code of a rejection.
    const REJECTED: Reason;

    fn error(&self) -> Option<&BodyError>;
    /// The status in words, and what it says by itself: nothing where it is not set, or leaves it to `code`.
    fn of_status(&self, code: Option<Verdict>) -> (Cow<'static, str>, Option<Verdict>);
    fn of_error_code(code: ErrorCode) -> Verdict {
        of_error_code(code)
    }
}

impl Reply for ReleaseHoldResponse {
    const REJECTED: Reason = Reason::ReleaseRejected;

    fn error(&self) -> Option<&BodyError> {
        self.error.as_ref()
    }

    fn of_status(&self, code: Option<Verdict>) -> (Cow<'static, str>, Option<Verdict>) {
        let Ok(status) = ReleaseStatus::try_from(self.status) else {
            return unknown(self.status);
        };
        let verdict = match status {
            ReleaseStatus::Unspecified => None,
            ReleaseStatus::Success | ReleaseStatus::AlreadyReleased | ReleaseStatus::NotFound => {
                Some(Verdict::Done)
            }
            ReleaseStatus::Failed => code.or(Some(Verdict::Transient)),
        };
        (status.as_str_name().into(), verdict)
    }

    fn of_error_code(code: ErrorCode) -> Verdict {
        if code == ErrorCode::NotFound { Verdict::Done } else { of_error_code(code) }
    }
}

impl Reply for CommitReservationResponse {
    const REJECTED: Reason = Reason::CommitRejected;

    fn error(&self) -> Option<&BodyError> {
        self.error.as_ref()
    }

    fn of_status(&self, _: Option<Verdict>) -> (Cow<'static, str>, Option<Verdict>) {
        let Ok(status) = CommitStatus::try_from(self.status) else {
            return unknown(self.status);
        };
        let verdict = match status {
            CommitStatus::Unspecified => None,
            CommitStatus::Success => Some(Verdict::Done),
            CommitStatus::FailedPayment | CommitStatus::FailedExpired | CommitStatus::FailedConflict => {
                Some(Verdict::Rejected)
            }
        };
        (status.as_str_name().into(), verdict)
    }
}

/// A status or code that only a newer service knows is tried again, never taken for success.
fn unknown(number: i32) -> (Cow<'static, str>, Option<Verdict>) {
    (number.to_string().into(), Some(Verdict::Transient))
}

/// Reads a reply whole.
///
/// # Errors
///
/// [`Error::Said`], which says by its fault whether asking again can help.
pub fn judge<R: Reply>(reply: Result<R, Status>) -> Result<(), Error> {
    let (said, verdict) = match reply {
        Err(status) => ([said(&status).into(), Cow::default()], of_grpc_code(status.code())),
        Ok(reply) => {
            let code = reply.error().map(|error| error.code).filter(|code| *code != 0);
            let (code_said, by_code) = match code.map(ErrorCode::try_from) {
                None => (Cow::default(), None),
                Some(Ok(code)) => (code.as_str_name().into(), Some(R::of_error_code(code))),
                Some(Err(error)) => unknown(error.0),
            };
            let (status_said, by_status) = reply.of_status(by_code);
            // An error without a code says no more than that all is not well.
            let silent = if reply.error().is_some() { Verdict::Transient } else { Verdict::Done };
            ([status_said, code_said], by_status.max(by_code).unwrap_or(silent))
        }
    };
    let (fault, code) = match verdict {
        Verdict::Done => return Ok(()),
        Verdict::Transient => (Fault::TRANSIENT, Reason::InventoryUnavailable),
        Verdict::Denied => (Fault::TRANSIENT, Reason::InventoryDenied),
        Verdict::Rejected => (Fault::Rejected, R::REJECTED),
    };
    Err(Error::Said(said.join(" ").trim_end().to_owned(), fault, code))
}

/// The code, and why there was no reply where the fault is on our side of the wire.
fn said(status: &Status) -> String {
    match status.source().and_then(cause) {
        Some(cause) => format!("{:?}, {cause}", status.code()),
        None => format!("{:?}", status.code()),
    }
}

fn of_grpc_code(code: Code) -> Verdict {
    match code {
        Code::Ok | Code::AlreadyExists => Verdict::Done,
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => Verdict::Transient,
        Code::PermissionDenied | Code::Unauthenticated => Verdict::Denied,
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss => Verdict::Rejected,
    }
}

fn of_error_code(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::Unspecified | ErrorCode::AlreadyExists => Verdict::Done,
        ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::Unauthorized => Verdict::Denied,
        ErrorCode::RateLimited
        | ErrorCode::QuotaExceeded
        | ErrorCode::IdempotencyConflict
        | ErrorCode::PaymentNotApproved
        | ErrorCode::Internal
        | ErrorCode::Unavailable
        | ErrorCode::Timeout
        | ErrorCode::UpstreamTimeout
        | ErrorCode::UpstreamError
        | ErrorCode::ConcurrentModification => Verdict::Transient,
        ErrorCode::InvalidArgument
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::IdempotencyRequired
        | ErrorCode::ReservationExpired
        | ErrorCode::InventoryConflict
        | ErrorCode::InsufficientInventory
        | ErrorCode::DataCorruption => Verdict::Rejected,
    }
}
