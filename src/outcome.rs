//! How a record ended: acknowledged or returned, under which label, for which reason (contract section 4).

use std::time::Duration;

use crate::breaker::Open;

/// The end of one record's work in one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both steps done, now or earlier.
    Success,
    /// Another event won; nothing is left to do.
    Superseded(String),
    /// A status that needs no work.
    Ignored(&'static str),
    /// A transient fault: the record comes again after a back-off.
    Retried {
        /// What failed.
        reason: String,
        /// The service's own wish for the back-off.
        retry_after: Option<Duration>,
    },
    /// Not started or not finished, through no fault of its own.
    Deferred(Deferral),
    /// Rejected by a service: trying again cannot help.
    Failed(String),
    /// The body was not understood.
    InvalidPayload(String),
}

/// Why a record was not worked on to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// No time left for its work.
    NotStarted,
    /// In flight when the time was up.
    Abandoned,
    /// An earlier record of its FIFO message group was returned.
    GroupBlocked,
    /// A service it needs was down a moment ago.
    BreakerOpen(Open),
}

impl Outcome {
    /// The outcome of a record whose work panicked: perhaps it was the weather, perhaps the record.
    pub fn panicked() -> Self {
        Self::Retried { reason: "the worker panicked".to_owned(), retry_after: None }
    }

    /// Whether SQS may delete the message; else it is listed in `batchItemFailures`.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Success | Self::Superseded(_) | Self::Ignored(_))
    }

    /// The label that logs and metrics show: one of the contract's seven.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Superseded(_) => "superseded",
            Self::Ignored(_) => "ignored",
            Self::Retried { .. } => "retried",
            Self::Deferred(_) => "deferred",
            Self::Failed(_) => "failed",
            Self::InvalidPayload(_) => "invalid_payload",
        }
    }

    /// Why, for a person; holds nothing of the body.
    pub fn reason(&self) -> &str {
        match self {
            Self::Success => "status and seats agree",
            Self::Superseded(reason) | Self::Failed(reason) | Self::InvalidPayload(reason) => reason,
            Self::Ignored(reason) => reason,
            Self::Retried { reason, .. } => reason,
            Self::Deferred(Deferral::NotStarted) => "no time left to start it",
            Self::Deferred(Deferral::Abandoned) => "no time left to finish it",
            Self::Deferred(Deferral::BreakerOpen(_)) => "a service was unavailable and its breaker is open",
            Self::Deferred(Deferral::GroupBlocked) => "an earlier record of its message group was returned",
        }
    }

    /// Writes the record's summary line; the enclosing span says which record it is.
    pub fn log(&self, duration: Duration) {
        let (outcome, reason) = (self.label(), self.reason());
        let duration_ms = duration.as_micros() as f64 / 1_000.0;
        match self {
            Self::Success | Self::Superseded(_) | Self::Ignored(_) => {
                tracing::info!(outcome, reason, duration_ms, "record acknowledged");
            }
            Self::Retried { .. } | Self::Deferred(_) => {
                tracing::warn!(outcome, reason, duration_ms, "record returned");
            }
            Self::Failed(_) | Self::InvalidPayload(_) => {
                tracing::error!(outcome, reason, duration_ms, "record returned for the dead-letter queue");
            }
        }
    }
}
