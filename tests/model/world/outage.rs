//! An outage of one service, the breaker that it opens, and the records that wait (contract section 6).
//!
//! The model has no clock. These abstractions replace the times:
//!
//! - **The outage ends.** Fairness requires it ([`Progress::Recovery`](super::Progress::Recovery)). Until then a
//!   record can be returned and received again any number of times, without a back-off.
//! - **A receive does not count if its record is returned because of the outage.** The real queue counts it. But a
//!   back-off separates two such receives of a record, and it begins and ends during the outage, because both
//!   receives met it. The back-offs before the last receive are together longer than the outage of invariant 6: the
//!   test `the_back_offs_before_the_last_receive_are_longer_than_the_outage` adds them up. So the last receive begins
//!   after the recovery. What is left of invariant 6 holds in each state: a record is returned because of the outage
//!   only if the service was found down during that receive.
//! - **The deadline comes after the next probe.** An invocation lasts longer than the breaker stays open. So a record
//!   reaches the deadline only if a probe has failed while it waited, or if no probe can come. While the breaker is
//!   closed, no deadline is reached, because the calls of a record are shorter than an invocation.
//! - **All records share one breaker**, like the records of one process. It opens at any time during the outage,
//!   because calls of other records can fail, too. The states in which it is still closed also represent the records
//!   of another process, whose breaker has not opened. A real record makes a limited number of probes; here the number
//!   is not limited.
//! - **A recall** ends a back-off early. Without back-offs, every order with a recall is included.

use reservation_worker::call::{NotCalled, NotCalledCause, Service};
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;

use super::{Request, Worker, World};
use crate::scenario::{Probing, Scenario};

/// The outage of the service that the scenario names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outage {
    pub phase: Phase,
    pub breaker: Breaker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Ahead,
    Present,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breaker {
    Closed,
    Open,
    Probing,
}

impl Request {
    pub(super) fn service(self) -> Service {
        match self {
            Self::UpdateStatus { .. } => Service::ReservationApi,
            Self::ChangeSeats { .. } => Service::Inventory,
        }
    }
}

impl World {
    pub(super) fn is_down(&self, scenario: &Scenario, service: Service) -> bool {
        scenario.outage == Some(service) && self.outage.phase == Phase::Present
    }

    /// Whether the breaker blocks the call of the worker's next step.
    pub(super) fn waits(&self, scenario: &Scenario, worker: &Worker) -> bool {
        let calls_service = scenario.outage.is_some() && worker.next.service() == scenario.outage;
        calls_service && self.outage.breaker != Breaker::Closed && !worker.is_probe
    }

    pub(super) fn can_probe(&self, scenario: &Scenario, worker: &Worker) -> bool {
        self.waits(scenario, worker)
            && self.outage.breaker == Breaker::Open
            && scenario.probing != Probing::Never
    }

    /// Whether the deadline can be reached while the worker waits or probes.
    pub(super) fn can_reach_deadline(&self, scenario: &Scenario, worker: &Worker) -> bool {
        let probe_comes = self.can_probe(scenario, worker) || self.workers.iter().any(|other| other.is_probe);
        (worker.is_probe || self.waits(scenario, worker)) && (worker.met_outage || !probe_comes)
    }

    /// The call of the worker's next step fails. If it is the probe, all records that wait have met the outage.
    pub(super) fn find_down(&mut self, scenario: &Scenario, worker: usize) {
        if self.workers[worker].is_probe {
            self.complete_probe(worker, Breaker::Open);
            for other in 0..self.workers.len() {
                self.workers[other].met_outage |= self.waits(scenario, &self.workers[other]);
            }
        }
        self.workers[worker].met_outage = true;
    }

    /// If the worker's call is the probe, its result decides about the breaker.
    pub(super) fn complete_probe(&mut self, worker: usize, breaker: Breaker) {
        if std::mem::take(&mut self.workers[worker].is_probe) {
            self.outage.breaker = breaker;
        }
    }

    /// If the worker's call is the probe, it ends without a result.
    pub(super) fn cut_off_probe(&mut self, scenario: &Scenario, worker: usize) {
        let hands_over = scenario.probing != Probing::UntilOneIsCutOff;
        self.complete_probe(worker, if hands_over { Breaker::Open } else { Breaker::Probing });
    }
}

/// The outcome of a record whose call found the service down.
pub(super) fn unavailable(service: Service) -> Outcome {
    let (code, reason) = (reason_of(service), String::new());
    Outcome::Retried { code, reason, retry_after: None, outage: Some(service) }
}

/// The outcome of a record for which the service was not called before the deadline.
pub(super) fn deferred(service: Service) -> Outcome {
    let cause = NotCalledCause::BreakerOpen;
    Outcome::Deferred(NotCalled { service, cause, reason: reason_of(service) })
}

fn reason_of(service: Service) -> Reason {
    match service {
        Service::ReservationApi => Reason::ReservationApiUnavailable,
        Service::Inventory => Reason::InventoryUnavailable,
    }
}
