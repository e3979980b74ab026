//! Every metric: its name, what it measures, its dimensions (contract section 8).

use strum::{EnumMessage, IntoStaticStr, VariantArray};

use crate::call::{AttemptOutcome, Service};
use crate::event::EventType;
use crate::outcome::OutcomeLabel;
use crate::reason::Reason;

/// A metric. A metric that the Go worker had keeps its name, so that existing dashboards can be used.
///
/// The documentation of the variants is part of `docs/telemetry.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
pub enum Metric {
    /// Completed records.
    #[strum(serialize = "worker_events_total")]
    Events,
    /// How long a record was processed.
    #[strum(serialize = "worker_latency_seconds")]
    Latency,
    /// How long a record was processed, by workflow.
    #[strum(serialize = "worker_processing_duration_seconds")]
    Processing,
    /// How long an attempt of a call to a service took.
    #[strum(serialize = "worker_downstream_seconds")]
    Downstream,
    /// The largest number of records in progress at once, per invocation.
    #[strum(serialize = "worker_active_count")]
    ActiveCount,
    /// The time from the sending of the message to the outcome of the record. SQS's own age metric does not show
    /// messages that wait for a back-off.
    #[strum(serialize = "worker_event_age_seconds")]
    EventAge,
    /// The time from the event itself (its `time` or `ts`) to the outcome of the record. An event without a readable
    /// time has no value.
    #[strum(serialize = "worker_event_lateness_seconds")]
    EventLateness,
    /// Records per invocation.
    #[strum(serialize = "worker_batch_size")]
    BatchSize,
    /// Invocations that were the first of their process.
    #[strum(serialize = "worker_cold_start")]
    ColdStart,
    /// Visibility time-outs that could not be changed.
    #[strum(serialize = "worker_visibility_errors_total")]
    VisibilityErrors,
    /// 1 in a minute in which the breaker of a service opened or made an attempt wait; no value in any other minute.
    #[strum(serialize = "worker_breaker_open")]
    BreakerOpen,
    /// Records with the outcome `success` or `superseded` that were done within 60 s after their message was sent to
    /// the queue.
    #[strum(serialize = "worker_in_time_total")]
    InTime,
    /// Returned records, by reason code.
    #[strum(serialize = "worker_returned_total")]
    Returned,
    /// Returned records whose receives are used up. SQS moves them to the dead-letter queue.
    #[strum(serialize = "worker_dead_letters_total")]
    DeadLetters,
    /// Acknowledged `worker.heartbeat` events. They show that events reach the worker.
    #[strum(serialize = "worker_heartbeat")]
    Heartbeat,
}

/// A dimension of a metric. Its values within a process are a closed set, so an id is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum Dimension {
    /// `type`: the type of the event.
    Type,
    /// `outcome`: the outcome of a record.
    Outcome,
    /// `handler`: the workflow.
    Handler,
    /// `service`: the service that was called.
    Service,
    /// `outcome`: the outcome of an attempt of a call.
    AttemptOutcome,
    /// `reason`: the reason code of a returned record.
    Reason,
    /// `function_version`: the version of the function. A process has one, which is not known in advance.
    FunctionVersion,
}

/// How a metric is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The sum of all counts.
    Count,
    /// 1 if anything was recorded.
    Flag,
    /// Every value, recorded as a whole number. `per_second` is the number of its units in a second; `None` if the
    /// value is not a time.
    Values { per_second: Option<u32> },
}

const MICROSECONDS: Kind = Kind::Values { per_second: Some(1_000_000) };
const MILLISECONDS: Kind = Kind::Values { per_second: Some(1_000) };
const NUMBERS: Kind = Kind::Values { per_second: None };

impl Metric {
    /// The name in CloudWatch.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The sets of dimensions under which it is sent. The first set has the most dimensions. The values of the other
    /// sets are sums over the first one. Alarms need these sums, because an alarm can use at most ten metrics and
    /// cannot search for metrics. A set with [`Dimension::FunctionVersion`] is left out if the version is not known.
    pub fn dimension_sets(self) -> &'static [&'static [Dimension]] {
        use Dimension::{AttemptOutcome, FunctionVersion, Handler, Outcome, Reason, Service, Type};
        match self {
            Self::Events => &[&[Type, Outcome], &[Outcome], &[FunctionVersion, Outcome]],
            Self::Latency | Self::EventAge | Self::EventLateness => &[&[Type], &[]],
            Self::Processing => &[&[Handler, Outcome]],
            Self::Downstream => &[&[Service, AttemptOutcome]],
            Self::BreakerOpen => &[&[Service]],
            Self::Returned => &[&[Reason]],
            Self::DeadLetters => &[&[Type, Reason], &[]],
            Self::ActiveCount
            | Self::BatchSize
            | Self::ColdStart
            | Self::VisibilityErrors
            | Self::InTime
            | Self::Heartbeat => &[&[]],
        }
    }

    /// The dimensions under which it is recorded: the first of the [`dimension_sets`](Self::dimension_sets).
    pub(super) fn dimensions(self) -> &'static [Dimension] {
        self.dimension_sets()[0]
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Events
            | Self::ColdStart
            | Self::VisibilityErrors
            | Self::InTime
            | Self::Returned
            | Self::DeadLetters
            | Self::Heartbeat => Kind::Count,
            Self::BreakerOpen => Kind::Flag,
            Self::Latency | Self::Processing | Self::Downstream => MICROSECONDS,
            Self::EventAge | Self::EventLateness => MILLISECONDS,
            Self::ActiveCount | Self::BatchSize => NUMBERS,
        }
    }

    /// Whether it is measured in seconds; otherwise it is a count.
    pub fn is_in_seconds(self) -> bool {
        matches!(self.kind(), Kind::Values { per_second: Some(_) })
    }
}

/// The value of the dimension `handler`: the workflow of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum WorkflowLabel {
    Expired,
    Approved,
    Failed,
}

impl WorkflowLabel {
    /// The workflow of a type; `None` if the type needs no work.
    pub(super) fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::ReservationExpired => Some(Self::Expired),
            EventType::PaymentApproved => Some(Self::Approved),
            EventType::PaymentFailed => Some(Self::Failed),
            EventType::PaymentStatusUpdated
            | EventType::ReservationHoldCreated
            | EventType::ReservationCreated
            | EventType::ReservationConfirmed
            | EventType::WorkerHeartbeat => None,
        }
    }
}

/// The label index of the value `unknown`: the type of the event could not be read.
pub(super) const UNKNOWN_TYPE: usize = EventType::VARIANTS.len();

impl Dimension {
    /// The name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Outcome | Self::AttemptOutcome => "outcome",
            Self::Handler => "handler",
            Self::Service => "service",
            Self::Reason => "reason",
            Self::FunctionVersion => "function_version",
        }
    }

    /// The number of values that are known in advance.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Type => UNKNOWN_TYPE + 1,
            Self::Outcome => OutcomeLabel::VARIANTS.len(),
            Self::Handler => WorkflowLabel::VARIANTS.len(),
            Self::Service => Service::VARIANTS.len(),
            Self::AttemptOutcome => AttemptOutcome::VARIANTS.len(),
            Self::Reason => Reason::VARIANTS.len(),
            Self::FunctionVersion => 0,
        }
    }

    /// Every value that is known in advance, in order.
    pub fn values(self) -> Vec<&'static str> {
        match self {
            Self::Type => names(EventType::VARIANTS).chain(["unknown"]).collect(),
            Self::Outcome => names(OutcomeLabel::VARIANTS).collect(),
            Self::Handler => names(WorkflowLabel::VARIANTS).collect(),
            Self::Service => names(Service::VARIANTS).collect(),
            Self::AttemptOutcome => names(AttemptOutcome::VARIANTS).collect(),
            Self::Reason => names(Reason::VARIANTS).collect(),
            Self::FunctionVersion => Vec::new(),
        }
    }
}

fn names<T: Copy + Into<&'static str>>(values: &'static [T]) -> impl Iterator<Item = &'static str> {
    values.iter().map(|value| (*value).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_dimension_is_the_number_of_its_values() {
        for dimension in Dimension::VARIANTS {
            assert_eq!(dimension.values().len(), dimension.size(), "{dimension:?}");
        }
    }
}
