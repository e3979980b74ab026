//! Every metric: its name, what it measures, its dimensions (contract section 8).

use crate::event::EventType;
use crate::outcome::Label;
use crate::reason::Reason;
use crate::telemetry::call::{CallOutcome, Service};

/// A metric. The Go worker's names, so that its dashboards carry over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Records that ended.
    Events,
    /// How long a record was worked on.
    Latency,
    /// How long a workflow took.
    Processing,
    /// How long a try of a call took.
    Downstream,
    /// Most records in flight at once, an invocation.
    ActiveCount,
    /// From sending to outcome: parked retries are invisible to SQS's own age metric.
    EventAge,
    /// Records an invocation.
    BatchSize,
    /// Invocations that were the first of their process.
    ColdStart,
    /// Visibility time-outs that could not be changed.
    VisibilityErrors,
    /// 1 in a minute in which the breaker opened or turned a call away; nothing in any other.
    BreakerOpen,
    /// Returned records whose receives are used up: SQS moves them to the dead-letter queue.
    DeadLetters,
}

/// What a metric is told apart by. Its values are a closed set: an id is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// `type`: the event's type.
    Type,
    /// `outcome` of a record.
    Outcome,
    /// `handler`: the workflow.
    Handler,
    /// `service` that was called.
    Service,
    /// `outcome` of a call.
    CallOutcome,
    /// `reason` of a dead letter.
    Reason,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// How often; the sum of all counts.
    Count,
    /// Whether at all; 1 if so.
    Flag,
    /// Each value on its own, recorded as so many of a second, or as a plain number where there are none.
    Values { a_second: Option<u32> },
}

pub(super) const MICROSECONDS: Kind = Kind::Values { a_second: Some(1_000_000) };
pub(super) const MILLISECONDS: Kind = Kind::Values { a_second: Some(1_000) };
pub(super) const NUMBERS: Kind = Kind::Values { a_second: None };

impl Metric {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Events,
        Self::Latency,
        Self::Processing,
        Self::Downstream,
        Self::ActiveCount,
        Self::EventAge,
        Self::BatchSize,
        Self::ColdStart,
        Self::VisibilityErrors,
        Self::BreakerOpen,
        Self::DeadLetters,
    ];

    /// As CloudWatch shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "worker_events_total",
            Self::Latency => "worker_latency_seconds",
            Self::Processing => "worker_processing_duration_seconds",
            Self::Downstream => "worker_downstream_seconds",
            Self::ActiveCount => "worker_active_count",
            Self::EventAge => "worker_event_age_seconds",
            Self::BatchSize => "worker_batch_size",
            Self::ColdStart => "worker_cold_start",
            Self::VisibilityErrors => "worker_visibility_errors_total",
            Self::BreakerOpen => "worker_breaker_open",
            Self::DeadLetters => "worker_dead_letters_total",
        }
    }

    /// The sets of dimensions under which it is sent. The first is the finest; the others are sums of it, for
    /// an alarm takes ten metrics at most and cannot search for them.
    pub fn dimension_sets(self) -> &'static [&'static [Dimension]] {
        use Dimension::{CallOutcome, Handler, Outcome, Reason, Service, Type};
        match self {
            Self::Events => &[&[Type, Outcome], &[Outcome]],
            Self::Latency | Self::EventAge => &[&[Type], &[]],
            Self::Processing => &[&[Handler, Outcome]],
            Self::Downstream => &[&[Service, CallOutcome]],
            Self::BreakerOpen => &[&[Service]],
            Self::DeadLetters => &[&[Type, Reason]],
            Self::ActiveCount | Self::BatchSize | Self::ColdStart | Self::VisibilityErrors => &[&[]],
        }
    }

    /// The finest set.
    pub(super) fn dimensions(self) -> &'static [Dimension] {
        self.dimension_sets()[0]
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Events | Self::ColdStart | Self::VisibilityErrors | Self::DeadLetters => Kind::Count,
            Self::BreakerOpen => Kind::Flag,
            Self::Latency | Self::Processing | Self::Downstream => MICROSECONDS,
            Self::EventAge => MILLISECONDS,
            Self::ActiveCount | Self::BatchSize => NUMBERS,
        }
    }

    /// Whether it is measured in seconds; else it is a count.
    pub(super) fn is_in_seconds(self) -> bool {
        matches!(self.kind(), Kind::Values { a_second: Some(_) })
    }
}

/// The workflow that an event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    Expired,
    Approved,
    Failed,
}

impl Handler {
    const ALL: [Self; 3] = [Self::Expired, Self::Approved, Self::Failed];

    /// Nothing is asked for by a payment that is under way.
    pub(super) fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::ReservationExpired => Some(Self::Expired),
            EventType::PaymentApproved => Some(Self::Approved),
            EventType::PaymentFailed => Some(Self::Failed),
            EventType::PaymentStatusUpdated => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Approved => "approved",
            Self::Failed => "failed",
        }
    }
}

/// The place among types of an event whose type was not understood.
pub(super) const UNKNOWN_TYPE: usize = EventType::ALL.len();

impl Dimension {
    /// As CloudWatch shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Outcome | Self::CallOutcome => "outcome",
            Self::Handler => "handler",
            Self::Service => "service",
            Self::Reason => "reason",
        }
    }

    /// How many values it can have.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Type => EventType::ALL.len() + 1,
            Self::Outcome => Label::ALL.len(),
            Self::Handler => Handler::ALL.len(),
            Self::Service => Service::ALL.len(),
            Self::CallOutcome => CallOutcome::ALL.len(),
            Self::Reason => Reason::ALL.len(),
        }
    }

    /// Every value that it can have, in order.
    pub fn values(self) -> Vec<&'static str> {
        match self {
            Self::Type => EventType::ALL.into_iter().map(EventType::as_str).chain(["unknown"]).collect(),
            Self::Outcome => Label::ALL.map(Label::as_str).into(),
            Self::Handler => Handler::ALL.map(Handler::as_str).into(),
            Self::Service => Service::ALL.map(Service::as_str).into(),
            Self::CallOutcome => CallOutcome::ALL.map(CallOutcome::as_str).into(),
            Self::Reason => Reason::ALL.map(Reason::as_str).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_stands_at_its_place() {
        fn in_place<T: Copy>(all: &[T], place: impl Fn(T) -> usize, last: T) -> bool {
            all.iter().enumerate().all(|(at, label)| place(*label) == at) && place(last) + 1 == all.len()
        }
        assert!(in_place(&Metric::ALL, |metric| metric as usize, Metric::DeadLetters));
        assert!(in_place(&EventType::ALL, |label| label as usize, EventType::PaymentStatusUpdated));
        assert!(in_place(&Label::ALL, |label| label as usize, Label::InvalidPayload));
        assert!(in_place(&Handler::ALL, |label| label as usize, Handler::Failed));
        assert!(in_place(&Service::ALL, |label| label as usize, Service::Inventory));
        assert!(in_place(&CallOutcome::ALL, |label| label as usize, CallOutcome::Panicked));
        assert!(in_place(&Reason::ALL, |label| label as usize, Reason::InvalidPayload));
        for metric in Metric::ALL {
            for dimension in metric.dimensions() {
                assert_eq!(dimension.values().len(), dimension.size(), "{dimension:?}");
            }
        }
    }
}
