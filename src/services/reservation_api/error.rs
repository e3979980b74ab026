//! Failed calls to the reservation API, and what they mean for the record.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::call::{BreakerOpen, Classify, ErrorClass};
use crate::http_client::connection_failure;
use crate::reason::Reason;

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
    /// The breaker is open.
    #[error("reservation API: {0}")]
    NotCalled(#[from] BreakerOpen),
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
}

impl Refusal {
    /// Whether a status is transient (contract section 3, table of other replies): 3xx, 401, 402, 403, 408, 412, 425,
    /// 429 and 5xx. Any other 4xx is not. For a 409, the status of the reservation decides.
    pub(super) fn is_transient(status: StatusCode) -> bool {
        !status.is_client_error() || matches!(status.as_u16(), 401..=403 | 408 | 412 | 425 | 429)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        self.code.iter().try_for_each(|code| write!(f, " {code}"))?;
        self.trace_id.iter().try_for_each(|id| write!(f, " (its trace {id})"))
    }
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::NotEnded | Self::Unreadable => {
                ErrorClass::TRANSIENT
            }
            Self::Refused(refusal)
                if Refusal::is_transient(refusal.status) || refusal.status == StatusCode::CONFLICT =>
            {
                ErrorClass::Transient { retry_after: refusal.retry_after }
            }
            Self::Refused(_) => ErrorClass::Rejected,
            Self::NotCalled(open) => ErrorClass::NotCalled(*open),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NotEnded => Reason::ReservationConflict,
            Self::Refused(refusal) => match refusal.status.as_u16() {
                401 | 403 => Reason::ReservationApiDenied,
                409 => Reason::ReservationConflict,
                402 | 412 => Reason::PaymentNotSeen,
                _ if Refusal::is_transient(refusal.status) => Reason::ReservationApiUnavailable,
                _ => Reason::ReservationApiRejected,
            },
            Self::TimedOut | Self::Unreachable(_) | Self::Unreadable | Self::NotCalled(_) => {
                Reason::ReservationApiUnavailable
            }
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
