//! A call to a service: which service, how the call ended, and what a failure means for the record.

use std::fmt::{self, Display};
use std::time::Duration;

use strum::{EnumMessage, IntoStaticStr, VariantArray};
use tonic::Code;

use crate::reason::Reason;

/// A service that the worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Service {
    /// The reservation API (REST). It owns the status of a reservation.
    ReservationApi,
    /// The inventory service (gRPC). It owns the seats.
    Inventory,
}

/// How one attempt of a call ended, as far as the attempt itself shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AttemptOutcome {
    /// The service did what was requested, now or earlier.
    Success,
    /// The reservation API refused the change because of the current status of the reservation.
    Conflict,
    /// The same call may succeed later.
    Transient,
    /// The service could not be reached, did not reply in time, or replied that it is unavailable.
    Unavailable,
    /// The deployment is wrong: the address, or what the worker is allowed to do.
    Misconfigured,
    /// A retry cannot help.
    Rejected,
    /// The attempt was dropped because the time of the invocation had run out.
    Abandoned,
    /// The attempt did not finish because the worker panicked.
    Panicked,
}

/// The status of a reply as its protocol defines it. It contains no text of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyStatus {
    /// There was no reply.
    None,
    /// The status of an HTTP reply.
    Http(u16),
    /// The status of a gRPC reply, or the one that the client uses for a missing reply.
    Grpc(Code),
}

/// What a failed call means for its record (contract section 3, tables of replies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call may succeed later.
    Transient {
        /// The shortest time to wait before the next call, if the service requested one.
        retry_after: Option<Duration>,
    },
    /// The service could not be reached, did not reply in time, or replied that it is unavailable (such as 502 to 504).
    Unavailable {
        /// The shortest time to wait before the next call, if the service requested one.
        retry_after: Option<Duration>,
    },
    /// The deployment is wrong and not the record: the address, or what the worker is allowed to do.
    Misconfigured,
    /// A retry cannot help: a person must look at the record.
    Rejected,
    /// The service was not called, because its breaker is open or the attempts at it are limited.
    NotCalled(NotCalled),
}

/// A call that was not made before the deadline, because of earlier failures of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not called, because {cause}")]
pub struct NotCalled {
    /// The service.
    pub service: Service,
    /// What prevented the call.
    pub cause: NotCalledCause,
    /// The reason code of the earlier failures.
    pub reason: Reason,
}

/// What prevents a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, thiserror::Error)]
pub enum NotCalledCause {
    /// The breaker of the service is open.
    #[error("its breaker is open")]
    BreakerOpen,
    /// The attempts at the service are limited (`services/limit.rs`).
    #[error("the attempts at it are limited")]
    AttemptsLimited,
}

/// An error that has a class and a reason code.
pub trait Classify {
    /// The service that was called.
    fn service(&self) -> Service;

    /// What the error means for the record.
    fn class(&self) -> ErrorClass;

    /// The reason code of a record that is returned because of this error.
    fn reason_code(&self) -> Reason;
}

impl NotCalledCause {
    /// The `cause` of [`Redelivery::AfterOutage`](sqs_batch::Redelivery::AfterOutage): the name of what a returned
    /// record waits for.
    pub fn recall_cause(self, service: Service) -> &'static str {
        match (self, service) {
            (Self::BreakerOpen, service) => service.as_str(),
            (Self::AttemptsLimited, Service::ReservationApi) => "limit of reservation-api",
            (Self::AttemptsLimited, Service::Inventory) => "limit of inventory",
        }
    }
}

impl Service {
    /// The name in logs, metrics and spans.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl AttemptOutcome {
    /// The outcome of an attempt that failed with `error`.
    pub fn of(error: &impl Classify) -> Self {
        match error.class() {
            ErrorClass::Transient { .. } => Self::Transient,
            ErrorClass::Unavailable { .. } | ErrorClass::NotCalled(_) => Self::Unavailable,
            ErrorClass::Misconfigured => Self::Misconfigured,
            ErrorClass::Rejected => Self::Rejected,
        }
    }

    /// The name in logs, metrics and spans.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl ErrorClass {
    /// A transient failure of a service that did not request a time to wait.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };
    /// A service that is not available and did not request a time to wait.
    pub const UNAVAILABLE: Self = Self::Unavailable { retry_after: None };

    /// Whether the service itself, or the connection to it, is at fault, so that other calls will fail too: the breaker
    /// counts these failures, and a record waits for the end of the outage.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Misconfigured | Self::NotCalled(_))
    }
}

impl Display for ReplyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Http(status) => status.fmt(f),
            Self::Grpc(Code::Ok) => f.write_str("OK"),
            // The debug form is `DeadlineExceeded`; gRPC writes DEADLINE_EXCEEDED.
            Self::Grpc(code) => format!("{code:?}").char_indices().try_for_each(|(at, letter)| {
                let separator = if at > 0 && letter.is_ascii_uppercase() { "_" } else { "" };
                write!(f, "{separator}{}", letter.to_ascii_uppercase())
            }),
        }
    }
}
