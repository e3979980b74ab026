//! Classifies a reply of the inventory by its gRPC code and, in an `OK` reply, by the status and the error in its
//! body (contract section 3). Numbers that this version of the worker does not define are classified, too.

use std::borrow::Cow;
use std::error::Error as _;

use tonic::{Code, Status};

use super::proto::common::v1::{Error as BodyError, ErrorCode};
use super::proto::reservation::v1::{
    CommitReservationResponse, CommitStatus, ReleaseHoldResponse, ReleaseStatus,
};
use crate::call::{Classify, ErrorClass, NotCalled, ReplyStatus, Service};
use crate::http_client::connection_failure;
use crate::reason::Reason;

/// A failed call to the inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call was not made.
    #[error("inventory: {0}")]
    NotCalled(#[from] NotCalled),
    /// The call failed.
    #[error("inventory: {status}")]
    Rpc {
        /// The codes of the reply, without any message of the service.
        status: String,
        /// What the failure means for the record.
        class: ErrorClass,
        /// The reason code of the record.
        reason: Reason,
    },
}

impl Classify for Error {
    fn service(&self) -> Service {
        Service::Inventory
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::NotCalled(not_called) => ErrorClass::NotCalled(*not_called),
            Self::Rpc { class, .. } => *class,
        }
    }

    fn reason_code(&self) -> Reason {
        match self {
            Self::NotCalled(not_called) => not_called.reason,
            Self::Rpc { reason, .. } => *reason,
        }
    }
}

/// What a part of a reply means, ordered from the least to the most severe. If the status and the error of a reply
/// disagree, the more severe one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Done,
    Transient,
    /// The inventory service cannot be reached, or replied that it is unavailable.
    Unavailable,
    /// The server does not have the inventory service.
    WrongAddress,
    /// The inventory refuses the worker's credentials.
    Denied,
    Rejected,
}

/// The body of a reply that has the gRPC code `OK` and can still be a failure.
pub trait ReplyBody {
    /// The reason code of a record whose call was rejected.
    const REJECTED: Reason;

    /// The error in the body, if there is one.
    fn error(&self) -> Option<&BodyError>;
    /// The name of the status, and its severity; `None` if the status is not set. `by_code` is the severity of the
    /// error code. A status that only says that the call failed has the severity of the error code, if there is one.
    fn of_status(&self, by_code: Option<Severity>) -> (Cow<'static, str>, Option<Severity>);
    /// The severity of an error code in this type of reply.
    fn of_error_code(code: ErrorCode) -> Severity {
        severity_of_error_code(code)
    }
}

impl ReplyBody for ReleaseHoldResponse {
    const REJECTED: Reason = Reason::ReleaseRejected;

    fn error(&self) -> Option<&BodyError> {
        self.error.as_ref()
    }

    fn of_status(&self, by_code: Option<Severity>) -> (Cow<'static, str>, Option<Severity>) {
        let Ok(status) = ReleaseStatus::try_from(self.status) else {
            return unknown(self.status);
        };
        let severity = match status {
            ReleaseStatus::Unspecified => None,
            ReleaseStatus::Success | ReleaseStatus::AlreadyReleased | ReleaseStatus::NotFound => {
                Some(Severity::Done)
            }
            ReleaseStatus::Failed => by_code.or(Some(Severity::Transient)),
        };
        (status.as_str_name().into(), severity)
    }

    fn of_error_code(code: ErrorCode) -> Severity {
        if code == ErrorCode::NotFound { Severity::Done } else { severity_of_error_code(code) }
    }
}

impl ReplyBody for CommitReservationResponse {
    const REJECTED: Reason = Reason::CommitRejected;

    fn error(&self) -> Option<&BodyError> {
        self.error.as_ref()
    }

    fn of_status(&self, _: Option<Severity>) -> (Cow<'static, str>, Option<Severity>) {
        let Ok(status) = CommitStatus::try_from(self.status) else {
            return unknown(self.status);
        };
        let severity = match status {
            CommitStatus::Unspecified => None,
            CommitStatus::Success => Some(Severity::Done),
            CommitStatus::FailedPayment | CommitStatus::FailedExpired | CommitStatus::FailedConflict => {
                Some(Severity::Rejected)
            }
        };
        (status.as_str_name().into(), severity)
    }
}

/// The name and the severity of a status or code that this version of the worker does not define. It is retried and
/// never treated as a success.
fn unknown(number: i32) -> (Cow<'static, str>, Option<Severity>) {
    (number.to_string().into(), Some(Severity::Transient))
}

/// Classifies a complete reply. `Ok` means that nothing is left to do for the seats.
///
/// # Errors
///
/// [`Error::Rpc`]. Its class says whether a retry can help.
pub fn classify<R: ReplyBody>(reply: Result<R, Status>) -> Result<(), Error> {
    let (names, severity) = match reply {
        Err(status) => ([describe(&status).into(), Cow::default()], severity_of_grpc_status(&status)),
        Ok(reply) => {
            let code = reply.error().map(|error| error.code).filter(|code| *code != 0);
            let (code_name, by_code) = match code.map(ErrorCode::try_from) {
                None => (Cow::default(), None),
                Some(Ok(code)) => (code.as_str_name().into(), Some(R::of_error_code(code))),
                Some(Err(error)) => unknown(error.0),
            };
            let (status_name, by_status) = reply.of_status(by_code);
            // An error without a code only says that the call failed. A reply with neither a status nor an error is
            // the success of an older server.
            let default = if reply.error().is_some() { Severity::Transient } else { Severity::Done };
            ([status_name, code_name], by_status.max(by_code).unwrap_or(default))
        }
    };
    let (class, reason) = match severity {
        Severity::Done => return Ok(()),
        Severity::Transient => (ErrorClass::TRANSIENT, Reason::InventoryError),
        Severity::Unavailable => (ErrorClass::UNAVAILABLE, Reason::InventoryUnavailable),
        Severity::WrongAddress => (ErrorClass::Misconfigured, Reason::InventoryWrongAddress),
        Severity::Denied => (ErrorClass::Misconfigured, Reason::InventoryDenied),
        Severity::Rejected => (ErrorClass::Rejected, R::REJECTED),
    };
    Err(Error::Rpc { status: names.join(" ").trim_end().to_owned(), class, reason })
}

/// The gRPC code, and the cause if the connection or the stream failed.
fn describe(status: &Status) -> String {
    match status.source().and_then(|error| connection_failure(error).or_else(|| reason_of_reset(error))) {
        Some(cause) => format!("{}, {cause}", ReplyStatus::Grpc(status.code())),
        None => ReplyStatus::Grpc(status.code()).to_string(),
    }
}

/// Why the peer or the client has reset the stream or closed the connection. This is a text of h2, not of the peer.
fn reason_of_reset(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref::<h2::Error>() {
        Some(error) => error.reason().map(|reason| reason.description().to_owned()),
        None => reason_of_reset(error.source()?),
    }
}

/// The severity of a gRPC status. A status with a source comes from the client and not from the service: the connection
/// or the stream broke, or there was no connection.
fn severity_of_grpc_status(status: &Status) -> Severity {
    match status.code() {
        Code::Ok | Code::AlreadyExists => Severity::Done,
        Code::Unavailable | Code::DeadlineExceeded => Severity::Unavailable,
        _ if status.source().is_some() => Severity::Unavailable,
        Code::Cancelled | Code::Unknown | Code::ResourceExhausted | Code::Aborted | Code::Internal => {
            Severity::Transient
        }
        Code::Unimplemented => Severity::WrongAddress,
        Code::PermissionDenied | Code::Unauthenticated => Severity::Denied,
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::DataLoss => Severity::Rejected,
    }
}

fn severity_of_error_code(code: ErrorCode) -> Severity {
    match code {
        ErrorCode::Unspecified | ErrorCode::AlreadyExists => Severity::Done,
        ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::Unauthorized => Severity::Denied,
        ErrorCode::Unavailable => Severity::Unavailable,
        ErrorCode::RateLimited
        | ErrorCode::QuotaExceeded
        | ErrorCode::IdempotencyConflict
        | ErrorCode::PaymentNotApproved
        | ErrorCode::Internal
        | ErrorCode::Timeout
        | ErrorCode::UpstreamTimeout
        | ErrorCode::UpstreamError
        | ErrorCode::ConcurrentModification => Severity::Transient,
        ErrorCode::InvalidArgument
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::IdempotencyRequired
        | ErrorCode::ReservationExpired
        | ErrorCode::InventoryConflict
        | ErrorCode::InsufficientInventory
        | ErrorCode::DataCorruption => Severity::Rejected,
    }
}
