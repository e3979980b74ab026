//! Failed calls to the reservation API, and what they mean for the record.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::call::{Classify, ErrorClass, NotCalled, Service};
use crate::http_client::connection_failure;
use crate::reason::Reason;
use crate::reservation::Ending;

/// A failed call to the reservation API. It contains no body and no message of the service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No reply within the time-out of an attempt.
    #[error("reservation API: no reply in time")]
    TimedOut,
    /// No connection, a broken connection, or a peer that does not use HTTP.
    #[error("reservation API: {0}")]
    Unreachable(String),
    /// A reply with an error status.
    #[error("reservation API: {0}")]
    Refused(Refusal),
    /// The call was not made.
    #[error("reservation API: {0}")]
    NotCalled(#[from] NotCalled),
    /// A conflict, but the reservation is still on hold or in a status that the worker does not know.
    #[error("reservation API: conflict, but the reservation has not ended")]
    NotEnded,
    /// The reply to a read is not the reservation.
    #[error("reservation API: the reply is not the reservation")]
    Unreadable,
}

/// A reply other than 2xx.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error code in the body.
    pub code: Option<String>,
    /// The trace id in the body, by which the log of the API can be searched.
    pub trace_id: Option<String>,
    /// The requested wait before the next call.
    pub retry_after: Option<Duration>,
    /// Whether the body is an error in the format of the API, so that it was the API that replied.
    pub is_from_api: bool,
}

impl Refusal {
    /// How the reservation had ended, if the reply refuses the call for that reason.
    pub fn ending(&self) -> Option<Ending> {
        if self.class() != ErrorClass::Rejected && self.status != StatusCode::CONFLICT {
            return None;
        }
        match self.code.as_deref()? {
            "RESERVATION_ALREADY_CONFIRMED" => Some(Ending::Confirmed),
            "RESERVATION_ALREADY_CANCELLED" => Some(Ending::Cancelled),
            "RESERVATION_EXPIRED" => Some(Ending::Expired),
            _ => None,
        }
    }

    /// The class of the reply by the contract's table of other replies. After a 409, the status of the reservation
    /// decides.
    pub(super) fn class(&self) -> ErrorClass {
        let retry_after = self.retry_after;
        match self.status.as_u16() {
            502..=504 => ErrorClass::Unavailable { retry_after },
            401 | 403 | 300..=399 => ErrorClass::Misconfigured,
            404 | 405 if !self.is_from_api => ErrorClass::Misconfigured,
            402 | 408 | 409 | 412 | 425 | 429 | 500..=599 => ErrorClass::Transient { retry_after },
            400..=499 => ErrorClass::Rejected,
            // Neither a success nor an error that HTTP defines.
            _ => ErrorClass::Transient { retry_after },
        }
    }

    fn reason_code(&self) -> Reason {
        match (self.status.as_u16(), self.class()) {
            (401 | 403, _) => Reason::ReservationApiDenied,
            (409, _) => Reason::ReservationConflict,
            (402 | 412, _) => Reason::PaymentNotSeen,
            (_, ErrorClass::Misconfigured) => Reason::ReservationApiWrongAddress,
            (_, ErrorClass::Unavailable { .. } | ErrorClass::NotCalled(_)) => {
                Reason::ReservationApiUnavailable
            }
            (_, ErrorClass::Transient { .. }) => Reason::ReservationApiError,
            (_, ErrorClass::Rejected) => Reason::ReservationApiRejected,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        self.code.iter().try_for_each(|code| write!(f, " {code}"))?;
        self.trace_id.iter().try_for_each(|id| write!(f, " (trace id in the reply: {id})"))
    }
}

impl Classify for Error {
    fn service(&self) -> Service {
        Service::ReservationApi
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::TimedOut | Self::Unreachable(_) => ErrorClass::UNAVAILABLE,
            Self::NotEnded | Self::Unreadable => ErrorClass::TRANSIENT,
            Self::Refused(refusal) => refusal.class(),
            Self::NotCalled(not_called) => ErrorClass::NotCalled(*not_called),
        }
    }

    fn reason_code(&self) -> Reason {
        match self {
            Self::TimedOut | Self::Unreachable(_) => Reason::ReservationApiUnavailable,
            Self::NotEnded => Reason::ReservationConflict,
            Self::Unreadable => Reason::ReservationApiError,
            Self::Refused(refusal) => refusal.reason_code(),
            Self::NotCalled(not_called) => not_called.reason,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Unreachable(connection_failure(&error).unwrap_or_else(|| "connection broken".to_owned()))
        }
    }
}
