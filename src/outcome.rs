//! How a record ended: acknowledged or returned, under which label, for which reason (contract section 4).

use std::time::{Duration, SystemTime};

use crate::breaker::Open;
use crate::event::EventType;
use crate::reason::Reason;
use crate::record::Record;
use crate::telemetry::call::Service;
use crate::telemetry::metrics::{Metrics, RecordEnded};

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
        /// Of which kind.
        code: Reason,
        /// What failed.
        reason: String,
        /// The service's own wish for the back-off.
        retry_after: Option<Duration>,
    },
    /// Not started or not finished, through no fault of its own.
    Deferred(Deferral),
    /// Rejected: trying again cannot help.
    Failed {
        /// Of which kind.
        code: Reason,
        /// What was rejected.
        reason: String,
    },
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

/// An outcome without what it carries: one of the contract's seven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "as those of `Outcome`")]
pub enum Label {
    Success,
    Superseded,
    Ignored,
    Retried,
    Deferred,
    Failed,
    InvalidPayload,
}

impl Label {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Superseded,
        Self::Ignored,
        Self::Retried,
        Self::Deferred,
        Self::Failed,
        Self::InvalidPayload,
    ];

    /// As logs and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Superseded => "superseded",
            Self::Ignored => "ignored",
            Self::Retried => "retried",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::InvalidPayload => "invalid_payload",
        }
    }
}

impl Outcome {
    /// The outcome of a record whose work panicked: perhaps it was the weather, perhaps the record.
    pub fn panicked() -> Self {
        let reason = "the worker panicked".to_owned();
        Self::Retried { code: Reason::Panicked, reason, retry_after: None }
    }

    /// Whether SQS may delete the message; else it is listed in `batchItemFailures`.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Success | Self::Superseded(_) | Self::Ignored(_))
    }

    /// The label that logs and metrics show.
    pub fn label(&self) -> Label {
        match self {
            Self::Success => Label::Success,
            Self::Superseded(_) => Label::Superseded,
            Self::Ignored(_) => Label::Ignored,
            Self::Retried { .. } => Label::Retried,
            Self::Deferred(_) => Label::Deferred,
            Self::Failed { .. } => Label::Failed,
            Self::InvalidPayload(_) => Label::InvalidPayload,
        }
    }

    /// Why, for a person; holds nothing of the body.
    pub fn reason(&self) -> &str {
        match self {
            Self::Success => "status and seats agree",
            Self::Superseded(reason) | Self::InvalidPayload(reason) => reason,
            Self::Retried { reason, .. } | Self::Failed { reason, .. } => reason,
            Self::Ignored(reason) => reason,
            Self::Deferred(Deferral::NotStarted) => "no time left to start it",
            Self::Deferred(Deferral::Abandoned) => "no time left to finish it",
            Self::Deferred(Deferral::BreakerOpen(_)) => "a service was unavailable and its breaker is open",
            Self::Deferred(Deferral::GroupBlocked) => "an earlier record of its message group was returned",
        }
    }

    /// Why it is returned, as a code; `None` if it is not.
    pub fn code(&self) -> Option<Reason> {
        match self {
            Self::Success | Self::Superseded(_) | Self::Ignored(_) => None,
            Self::Retried { code, .. } | Self::Failed { code, .. } => Some(*code),
            Self::Deferred(Deferral::NotStarted | Deferral::Abandoned) => Some(Reason::NoTime),
            Self::Deferred(Deferral::GroupBlocked) => Some(Reason::GroupBlocked),
            Self::Deferred(Deferral::BreakerOpen(Open { service: Service::ReservationApi, .. })) => {
                Some(Reason::ReservationApiUnavailable)
            }
            Self::Deferred(Deferral::BreakerOpen(Open { service: Service::Inventory, .. })) => {
                Some(Reason::InventoryUnavailable)
            }
            Self::InvalidPayload(_) => Some(Reason::InvalidPayload),
        }
    }
}

/// That a record has ended: its one summary line, and its metrics.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Which record.
    pub record: &'a Record,
    /// How.
    pub outcome: &'a Outcome,
    /// How long it was worked on; `None` if it never was.
    pub worked: Option<Duration>,
    /// `MAX_RETRIES`: a record that is returned after so many receives becomes a dead letter.
    pub max_retries: u32,
}

impl Ended<'_> {
    /// Tells of it; the enclosing span says which record it is.
    pub fn tell(&self, event_type: Option<EventType>, metrics: &Metrics) {
        let Self { record, outcome, worked, max_retries } = *self;
        let code = outcome.code();
        let is_dead_letter = record.is_last_receive(max_retries);
        metrics.record_ended(RecordEnded {
            event_type,
            outcome: outcome.label(),
            worked,
            age: record.sent.map(|sent| SystemTime::now().duration_since(sent).unwrap_or_default()),
            // One that the queue gives out once more is not counted once more.
            dead_letter: code.filter(|_| record.receive_count == max_retries),
        });
        self.log(code, is_dead_letter);
    }

    fn log(&self, code: Option<Reason>, is_dead_letter: bool) {
        let (outcome, reason) = (self.outcome.label().as_str(), self.outcome.reason());
        let duration_ms = self.worked.unwrap_or_default().as_micros() as f64 / 1_000.0;
        let Some(code) = code else {
            tracing::info!(outcome, reason, duration_ms, "record acknowledged");
            return;
        };
        let (reason_code, advice) = (code.as_str(), code.advice());
        let is_hopeless = matches!(self.outcome, Outcome::Failed { .. } | Outcome::InvalidPayload(_));
        if is_dead_letter {
            tracing::error!(outcome, reason, reason_code, advice, duration_ms, "record is a dead letter");
        } else if is_hopeless {
            tracing::error!(
                outcome,
                reason,
                reason_code,
                advice,
                duration_ms,
                "record returned for the dead-letter queue"
            );
        } else {
            tracing::warn!(outcome, reason, reason_code, duration_ms, "record returned");
        }
    }
}
