//! How a record ended: acknowledged or returned, with which label and for which reason (contract section 4).

use std::time::Duration;

use sqs_batch::{Completion, Redelivery};
use strum::{EnumMessage, IntoStaticStr, VariantArray};

use crate::call::NotCalledCause::{AttemptsLimited, BreakerOpen};
use crate::call::Service::{Inventory, ReservationApi};
use crate::call::{Classify, ErrorClass, NotCalled, Service};
use crate::reason::Reason;

/// The result of the work on one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both steps are done, now or earlier.
    Success,
    /// Another event has already ended the reservation, and nothing is left to do. The text says how the reservation
    /// ended.
    Superseded(String),
    /// The event needs no work, for this reason.
    Ignored(&'static str),
    /// A failure that may be transient: the record is delivered again after a back-off.
    Retried {
        /// The reason code.
        code: Reason,
        /// What failed.
        reason: String,
        /// The shortest time until the next delivery, if a service requested one.
        retry_after: Option<Duration>,
        /// The service that is down, if the failure is an outage: the record waits for its end.
        outage: Option<Service>,
    },
    /// A service that the record needs was not called, because its breaker is open or the attempts at it are limited.
    Deferred(NotCalled),
    /// Rejected: a retry cannot help.
    Failed {
        /// The reason code.
        code: Reason,
        /// What was rejected.
        reason: String,
    },
    /// The body was not understood, for this reason.
    InvalidPayload(String),
}

impl Outcome {
    /// The outcome of a record whose call to a service failed.
    pub fn of_error(error: impl Classify + ToString) -> Self {
        let (code, reason) = (error.reason_code(), error.to_string());
        let outage = Some(error.service());
        match error.class() {
            ErrorClass::Transient { retry_after } => {
                Self::Retried { code, reason, retry_after, outage: None }
            }
            ErrorClass::Unavailable { retry_after } => Self::Retried { code, reason, retry_after, outage },
            ErrorClass::Misconfigured => Self::Retried { code, reason, retry_after: None, outage },
            ErrorClass::Rejected => Self::Failed { code, reason },
            ErrorClass::NotCalled(not_called) => Self::Deferred(not_called),
        }
    }
}

impl sqs_batch::Outcome for Outcome {
    fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Success | Self::Superseded(_) | Self::Ignored(_))
    }

    fn redelivery(&self) -> Redelivery {
        match self {
            Self::Failed { .. } | Self::InvalidPayload(_) => Redelivery::Immediate,
            Self::Retried { retry_after, outage, .. } => {
                let at_least = retry_after.unwrap_or_default();
                match outage {
                    Some(service) => Redelivery::AfterOutage { cause: service.as_str(), at_least },
                    None => Redelivery::AfterBackoff { at_least },
                }
            }
            Self::Deferred(NotCalled { service, cause, .. }) => {
                Redelivery::AfterOutage { cause: cause.recall_cause(*service), at_least: Duration::ZERO }
            }
            Self::Success | Self::Superseded(_) | Self::Ignored(_) => Redelivery::BACKOFF,
        }
    }
}

/// The `outcome` in logs and metrics.
///
/// The documentation of the variants is part of `docs/telemetry.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OutcomeLabel {
    /// Both steps are done, now or earlier.
    Success,
    /// Another event has already ended the reservation. Nothing is left to do.
    Superseded,
    /// The event needs no work.
    Ignored,
    /// A transient failure, an unavailable or misconfigured service, or a panic. The queue delivers the record again
    /// after a back-off.
    Retried,
    /// Not started or not finished: no time was left, the FIFO group is blocked, the breaker of a service is open, or
    /// the attempts at a service are limited.
    Deferred,
    /// A service rejected the record, and a retry cannot help.
    Failed,
    /// The body was not understood. The reason names the field.
    InvalidPayload,
}

impl OutcomeLabel {
    /// The value in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the queue deletes the message; otherwise it is listed in `batchItemFailures`.
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Self::Success | Self::Superseded | Self::Ignored)
    }
}

/// What is reported about a completed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary<'a> {
    /// The outcome.
    pub label: OutcomeLabel,
    /// The reason as text for the operator. It contains no text of the body.
    pub reason: &'a str,
    /// The reason code, if the record is returned.
    pub code: Option<Reason>,
}

impl<'a> Summary<'a> {
    /// The summary of a record that was completed by the worker or by the batch engine.
    pub fn of(completion: &'a Completion<Outcome>) -> Self {
        let (label, reason, code) = match completion {
            Completion::Shared(Outcome::Success) => {
                let reason = "an earlier record of the batch describes the same work, which is done";
                return Self { label: OutcomeLabel::Success, reason, code: None };
            }
            Completion::Handled(outcome) | Completion::Shared(outcome) => return Self::of_outcome(outcome),
            Completion::NotStarted => {
                (OutcomeLabel::Deferred, "there was no time left to start it", Reason::NoTime)
            }
            Completion::Abandoned => {
                (OutcomeLabel::Deferred, "there was no time left to finish it", Reason::NoTime)
            }
            Completion::GroupBlocked => (
                OutcomeLabel::Deferred,
                "an earlier record of its message group will be delivered again",
                Reason::GroupBlocked,
            ),
            // The cause of a panic may be transient, so the record is retried.
            Completion::Panicked => (OutcomeLabel::Retried, "the worker panicked", Reason::Panicked),
        };
        Self { label, reason, code: Some(code) }
    }

    fn of_outcome(outcome: &'a Outcome) -> Self {
        let (label, reason, code) = match outcome {
            Outcome::Success => (OutcomeLabel::Success, "the status and the seats agree", None),
            Outcome::Superseded(reason) => (OutcomeLabel::Superseded, reason.as_str(), None),
            Outcome::Ignored(reason) => (OutcomeLabel::Ignored, *reason, None),
            Outcome::Retried { code, reason, .. } => (OutcomeLabel::Retried, reason.as_str(), Some(*code)),
            Outcome::Deferred(not_called) => {
                let reason = match (not_called.cause, not_called.service) {
                    (BreakerOpen, ReservationApi) => "the breaker of the reservation API is open",
                    (BreakerOpen, Inventory) => "the breaker of the inventory is open",
                    (AttemptsLimited, ReservationApi) => {
                        "attempts at the reservation API are limited after a time-out"
                    }
                    (AttemptsLimited, Inventory) => "attempts at the inventory are limited after a time-out",
                };
                (OutcomeLabel::Deferred, reason, Some(not_called.reason))
            }
            Outcome::Failed { code, reason } => (OutcomeLabel::Failed, reason.as_str(), Some(*code)),
            Outcome::InvalidPayload(reason) => {
                (OutcomeLabel::InvalidPayload, reason.as_str(), Some(Reason::InvalidPayload))
            }
        };
        Self { label, reason, code }
    }
}
