//! One try of a call to a service: one fact, told in one place.

use std::fmt::Display;

use tokio::time::Instant;

use crate::fault::{Fault, Faulty};
use crate::telemetry::metrics::Metrics;

/// A service that the worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Owner of the status.
    ReservationApi,
    /// Owner of the seats.
    Inventory,
}

impl Service {
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::ReservationApi, Self::Inventory];

    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReservationApi => "reservation-api",
            Self::Inventory => "inventory",
        }
    }
}

/// How a try ended, as far as it alone can say: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Done, now or earlier.
    Success,
    /// The reservation has ended otherwise.
    Conflict,
    /// The same call may succeed later.
    Transient,
    /// Trying again cannot help.
    Rejected,
    /// Given up, because the invocation's time was up.
    Abandoned,
}

impl CallOutcome {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Success, Self::Conflict, Self::Transient, Self::Rejected, Self::Abandoned];

    /// What an error makes of it.
    pub fn of(error: &impl Faulty) -> Self {
        match error.fault() {
            Fault::Rejected => Self::Rejected,
            Fault::Transient { .. } | Fault::NotCalled(_) => Self::Transient,
        }
    }

    /// As logs and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A try that is under way. One that is dropped was abandoned.
#[derive(Debug)]
pub struct Call<'a> {
    metrics: &'a Metrics,
    service: Service,
    method: &'static str,
    since: Instant,
    ended: bool,
}

impl<'a> Call<'a> {
    /// Begins a try of `method`, in the service's own words.
    pub fn begin(metrics: &'a Metrics, service: Service, method: &'static str) -> Self {
        Self { metrics, service, method, since: Instant::now(), ended: false }
    }

    /// Tells how it ended; `status` is the protocol's word for it, and nothing that the service wrote.
    pub fn end(mut self, status: impl Display, outcome: CallOutcome) {
        self.tell(status, outcome);
    }

    fn tell(&mut self, status: impl Display, outcome: CallOutcome) {
        self.ended = true;
        let took = self.since.elapsed();
        self.metrics.call_ended(self.service, outcome, took);
        tracing::debug!(
            service = self.service.as_str(),
            method = self.method,
            %status,
            result = outcome.as_str(), // `outcome` is the summary line's
            duration_ms = took.as_micros() as f64 / 1_000.0,
            "service called"
        );
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell("none", CallOutcome::Abandoned);
        }
    }
}
