//! The actions that are possible in a state, and which of them must happen in the end.

use super::outage::{Breaker, Phase};
use super::{Message, Place, Step, Worker, World};
use crate::scenario::{RESERVATIONS, Scenario};

const WORKERS: usize = 2;

/// An action that changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A customer reserves the seat, which is free.
    Reserve { reservation: usize },
    /// The queue delivers a message to a worker.
    Deliver { message: usize },
    /// A worker performs its next step without a fault.
    PerformStep { worker: usize },
    /// A worker updates the status. If the reservation has ended, the reply does not contain its status.
    UpdateStatusWithoutDetails { worker: usize },
    /// A worker's request is delayed until its time-out. The worker tries again or gives up.
    TimeOut { worker: usize, tries_again: bool },
    /// A delayed request arrives.
    ArriveLate { request: usize },
    /// A delayed request is lost.
    Lose { request: usize },
    /// A worker crashes.
    Crash { worker: usize },
    /// A service stops working.
    BeginOutage,
    /// So many calls have failed that the breaker opens.
    OpenBreaker,
    /// A call of a worker finds the service down. The worker waits for the breaker again or gives up.
    FindServiceDown { worker: usize, waits_again: bool },
    /// The breaker was open long enough, and a waiting worker is the next one that may call the service.
    BeginProbe { worker: usize },
    /// The deadline is reached, and a worker that waits or probes defers its record.
    ReachDeadline { worker: usize },
    /// The service works again.
    EndOutage,
}

/// Progress that fairness requires: what is possible from some time on without interruption is made in the end.
/// Faults, duplicates, customers and the begin of an outage are not required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Delivery { message: usize },
    Work { message: usize },
    Deadline { message: usize },
    Probe,
    LateRequest,
    Recovery,
}

impl World {
    pub fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        let seat_is_free = !self.bookings.iter().flatten().any(|booking| booking.owns_the_seat());
        let missing = (0..RESERVATIONS).filter(|reservation| self.bookings[*reservation].is_none());
        actions.extend(missing.filter(|_| seat_is_free).map(|reservation| Action::Reserve { reservation }));
        match self.outage.phase {
            // At the end nothing is left that an outage could delay.
            Phase::Ahead if !self.has_ended(scenario) => actions.push(Action::BeginOutage),
            Phase::Present => {
                actions.push(Action::EndOutage);
                actions.extend((self.outage.breaker == Breaker::Closed).then_some(Action::OpenBreaker));
            }
            Phase::Ahead | Phase::Over => {}
        }
        if self.workers.len() < WORKERS {
            let available =
                (0..self.messages.len()).filter(|message| self.can_be_delivered(scenario, *message));
            actions.extend(available.map(|message| Action::Deliver { message }));
        }
        for (index, worker) in self.workers.iter().enumerate() {
            self.add_actions_of_worker(scenario, index, worker, &mut actions);
        }
        for (index, request) in self.late_requests.iter().enumerate() {
            actions.push(Action::Lose { request: index });
            if !self.is_down(scenario, request.service()) {
                actions.push(Action::ArriveLate { request: index });
            }
        }
        actions
    }

    fn add_actions_of_worker(
        &self,
        scenario: &Scenario,
        worker: usize,
        state: &Worker,
        actions: &mut Vec<Action>,
    ) {
        let waits = self.waits(scenario, state);
        let is_down = state.next.service().is_some_and(|service| self.is_down(scenario, service));
        if waits {
            actions.extend(self.can_probe(scenario, state).then_some(Action::BeginProbe { worker }));
        } else if is_down {
            actions.push(Action::FindServiceDown { worker, waits_again: false });
            // While the breaker is closed, another attempt would change nothing.
            actions.extend(state.is_probe.then_some(Action::FindServiceDown { worker, waits_again: true }));
        } else {
            actions.push(Action::PerformStep { worker });
            if state.next == Step::UpdateStatus {
                actions.push(Action::UpdateStatusWithoutDetails { worker });
            }
        }
        if self.can_reach_deadline(scenario, state) {
            actions.push(Action::ReachDeadline { worker });
        }
        if self.faults > 0 {
            actions.push(Action::Crash { worker });
            if !waits && matches!(state.next, Step::UpdateStatus | Step::ChangeSeats) {
                actions.extend([true, false].map(|tries_again| Action::TimeOut { worker, tries_again }));
            }
        }
    }

    fn can_be_delivered(&self, scenario: &Scenario, message: usize) -> bool {
        let Message { receives, place } = self.messages[message];
        self.is_sent(scenario, message)
            && place != Place::DeadLetters
            && receives < scenario.max_receives()
            && (!self.is_duplicate(message) || self.duplicates > 0)
    }

    /// The progress that an action in this state makes.
    pub fn progress(&self, action: Action) -> Option<Progress> {
        let message = |worker: usize| self.workers[worker].message;
        match action {
            Action::Deliver { message } if self.is_duplicate(message) => None,
            Action::Deliver { message } => Some(Progress::Delivery { message }),
            Action::PerformStep { worker }
            | Action::UpdateStatusWithoutDetails { worker }
            | Action::FindServiceDown { worker, .. } => Some(Progress::Work { message: message(worker) }),
            Action::ReachDeadline { worker } => Some(Progress::Deadline { message: message(worker) }),
            Action::BeginProbe { .. } => Some(Progress::Probe),
            Action::ArriveLate { .. } | Action::Lose { .. } => Some(Progress::LateRequest),
            Action::EndOutage => Some(Progress::Recovery),
            Action::Reserve { .. }
            | Action::TimeOut { .. }
            | Action::Crash { .. }
            | Action::BeginOutage
            | Action::OpenBreaker => None,
        }
    }
}
