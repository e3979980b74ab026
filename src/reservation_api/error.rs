//! What can go wrong with the reservation API, and what that means for the event.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::breaker::Open;
use crate::fault::{Classify, Fault, cause};
use crate::reason::Reason;

/// A call to the reservation API that led to nothing. Holds no body and no message of the service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No reply within the time of a try.
    #[error("reservation API: no reply in time")]
    TimedOut,
    /// No connection, a broken one, or not HTTP.
    #[error("reservation API: {0}")]
    Unreachable(String),
    /// A reply that refuses.
    #[error("reservation API: {0}")]
    Refused(Refusal),
    /// Not called at all.
    #[error("reservation API: {0}")]
    NotCalled(#[from] Open),
    /// A conflict with a reservation that is still on hold, or in a status that the worker does not know.
    #[error("reservation API: conflict, and the reservation has not ended")]
    NotEnded,
    /// A reservation was asked for and something else came.
    #[error("reservation API: the reply is not a reservation")]
    Unreadable,
}

/// A reply other than 2xx.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code in the body.
    pub code: Option<String>,
    /// The trace id in the body, to look the refusal up in the API's own log.
    pub trace_id: Option<String>,
    /// When the service wishes to be called again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The contract's table of other replies: 3xx, 401, 403, 408, 412, 425, 429 and 5xx may pass, and a
    /// 409 that the reservation itself did not explain; any other 4xx will not.
    pub(super) fn is_transient(status: StatusCode) -> bool {
        !status.is_client_error() || matches!(status.as_u16(), 401 | 403 | 408 | 412 | 425 | 429)
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
    fn fault(&self) -> Fault {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::NotEnded | Self::Unreadable => Fault::TRANSIENT,
            Self::Refused(refusal)
                if Refusal::is_transient(refusal.status) || refusal.status == StatusCode::CONFLICT =>
            {
                Fault::Transient { retry_after: refusal.retry_after }
            }
            Self::Refused(_) => Fault::Rejected,
            Self::NotCalled(open) => Fault::NotCalled(*open),
        }
    }

    fn code(&self) -> Reason {
        match self {
            Self::NotEnded => Reason::ReservationConflict,
            Self::Refused(refusal) => match refusal.status.as_u16() {
                401 | 403 => Reason::ReservationApiDenied,
                409 => Reason::ReservationConflict,
                412 => Reason::PaymentNotSeen,
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
            Self::Unreachable(cause(&error).unwrap_or_else(|| "connection broken".to_owned()))
        }
    }
}
