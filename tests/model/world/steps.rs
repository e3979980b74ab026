//! The steps of a worker, in the order that the scenario requires.

use reservation_worker::call::Service;
use reservation_worker::outcome::Outcome;
use reservation_worker::reservation::Ending;
use reservation_worker::workflow::{Decision, decide};
use sqs_batch::{Outcome as _, Redelivery};

use crate::scenario::Scenario;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    UpdateStatus,
    /// After a conflict whose reply does not contain the current status.
    ReadStatus,
    ChangeSeats,
    Respond {
        acknowledged: bool,
        because_of_outage: bool,
    },
}

impl Step {
    pub fn respond(outcome: &Outcome) -> Self {
        let because_of_outage = matches!(outcome.redelivery(), Redelivery::AfterOutage { .. });
        Self::Respond { acknowledged: outcome.is_acknowledged(), because_of_outage }
    }

    /// The service that the step calls.
    pub fn service(self) -> Option<Service> {
        match self {
            Self::UpdateStatus | Self::ReadStatus => Some(Service::ReservationApi),
            Self::ChangeSeats => Some(Service::Inventory),
            Self::Respond { .. } => None,
        }
    }
}

impl Scenario {
    pub fn first_step(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::UpdateStatus } else { Step::ChangeSeats }
    }

    pub fn after_status(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::ChangeSeats } else { Step::respond(&Outcome::Success) }
    }

    pub fn after_seats(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::respond(&Outcome::Success) } else { Step::UpdateStatus }
    }

    /// The step after the reservation API replied that the reservation already has a final status.
    pub fn after_conflict(&self, message: usize, found: Ending) -> Step {
        let (transition, _) = self.steps(message);
        match decide(transition.to, found) {
            Decision::Continue => self.after_status(message),
            Decision::Superseded => Step::respond(&Outcome::Superseded(String::new())),
            Decision::Reject(code, reason) => {
                Step::respond(&Outcome::Failed { code, reason: reason.to_owned() })
            }
        }
    }
}
