//! The effect of an action.

use reservation_worker::call::Service;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::services::inventory;
use reservation_worker::workflow::SeatStep;

use super::outage::{Breaker, Phase, deferred, unavailable};
use super::{Action, Message, Place, Request, Step, Worker, World};
use crate::scenario::Scenario;
use crate::services::{Booking, StatusReply};

impl World {
    /// The state after an action.
    pub fn after(&self, scenario: &Scenario, action: Action) -> Self {
        let mut world = self.clone();
        world.act(scenario, action);
        world.workers.sort_unstable();
        world.late_requests.sort_unstable();
        world
    }

    fn act(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Reserve { reservation } => self.bookings[reservation] = Some(Booking::HELD),
            Action::Deliver { message } => {
                self.duplicates -= u8::from(self.is_duplicate(message));
                self.messages[message].receives += 1;
                let next = scenario.first_step(message);
                self.workers.push(Worker { message, next, is_probe: false, met_outage: false });
            }
            Action::PerformStep { worker } => {
                self.complete_probe(worker, Breaker::Closed);
                match self.perform(scenario, self.workers[worker]) {
                    Some(next) => self.workers[worker].next = next,
                    None => drop(self.workers.remove(worker)),
                }
            }
            Action::UpdateStatusWithoutDetails { worker } => {
                self.complete_probe(worker, Breaker::Closed);
                let message = self.workers[worker].message;
                self.workers[worker].next = match self.update_status(scenario, message) {
                    StatusReply::Done => scenario.after_status(message),
                    StatusReply::AlreadyEnded(_) => Step::ReadStatus,
                };
            }
            Action::TimeOut { worker, tries_again } => {
                self.faults -= 1;
                self.complete_probe(worker, Breaker::Open);
                let Worker { message, next, .. } = self.workers[worker];
                self.late_requests.push(match next {
                    Step::UpdateStatus => Request::UpdateStatus { message },
                    _ => Request::ChangeSeats { message },
                });
                if !tries_again {
                    self.workers[worker].next = Step::respond(&transient_failure());
                }
            }
            Action::ArriveLate { request } => match self.late_requests.remove(request) {
                Request::UpdateStatus { message } => drop(self.update_status(scenario, message)),
                // The reply is ignored, because no worker waits for it.
                Request::ChangeSeats { message } => drop(self.change_seats(scenario, message)),
            },
            Action::Lose { request } => drop(self.late_requests.remove(request)),
            Action::Crash { worker } => {
                self.faults -= 1;
                self.cut_off_probe(scenario, worker);
                let Worker { message, .. } = self.workers.remove(worker);
                self.return_message(scenario, message);
            }
            Action::BeginOutage => self.outage.phase = Phase::Present,
            Action::OpenBreaker => self.outage.breaker = Breaker::Open,
            Action::FindServiceDown { worker, waits_again } => {
                self.find_down(scenario, worker);
                if !waits_again {
                    self.respond(worker, unavailable);
                }
            }
            Action::BeginProbe { worker } => {
                self.outage.breaker = Breaker::Probing;
                self.workers[worker].is_probe = true;
            }
            Action::ReachDeadline { worker } => {
                self.cut_off_probe(scenario, worker);
                self.respond(worker, deferred);
            }
            Action::EndOutage => self.outage.phase = Phase::Over,
        }
    }

    /// Performs the next step of a worker without a fault. Returns the step after it; there is none after a
    /// response.
    fn perform(&mut self, scenario: &Scenario, Worker { message, next, .. }: Worker) -> Option<Step> {
        Some(match next {
            Step::UpdateStatus => match self.update_status(scenario, message) {
                StatusReply::Done => scenario.after_status(message),
                StatusReply::AlreadyEnded(found) => scenario.after_conflict(message, found),
            },
            Step::ReadStatus => match self.booking(scenario, message).status {
                Some(found) => scenario.after_conflict(message, found),
                None => Step::respond(&transient_failure()),
            },
            Step::ChangeSeats => match self.change_seats(scenario, message) {
                Ok(()) => scenario.after_seats(message),
                Err(error) => Step::respond(&Outcome::of_error(error)),
            },
            Step::Respond { acknowledged: true, .. } => {
                self.messages[message].place = Place::Deleted;
                return None;
            }
            Step::Respond { because_of_outage, .. } => {
                self.messages[message].receives -= u8::from(because_of_outage);
                self.return_message(scenario, message);
                return None;
            }
        })
    }

    /// The worker's next step is the response, with an outcome that names the service.
    fn respond(&mut self, worker: usize, outcome: impl Fn(Service) -> Outcome) {
        let service = self.workers[worker].next.service().expect("a call");
        self.workers[worker].next = Step::respond(&outcome(service));
    }

    /// Returns a message to the queue, or moves it to the dead-letter queue after its last receive.
    fn return_message(&mut self, scenario: &Scenario, message: usize) {
        let Message { receives, place } = &mut self.messages[message];
        if *place == Place::Queue && *receives == scenario.max_receives() {
            *place = Place::DeadLetters;
        }
    }

    fn booking(&mut self, scenario: &Scenario, message: usize) -> &mut Booking {
        self.bookings[scenario.reservation(message)].as_mut().expect("a sent message has a reservation")
    }

    fn update_status(&mut self, scenario: &Scenario, message: usize) -> StatusReply {
        let (transition, _) = scenario.steps(message);
        self.booking(scenario, message).end(transition.to)
    }

    fn change_seats(&mut self, scenario: &Scenario, message: usize) -> Result<(), inventory::Error> {
        let (_, seat_step) = scenario.steps(message);
        let reply = match seat_step {
            SeatStep::Release(_) => self.booking(scenario, message).release(),
            SeatStep::Commit { .. } => self.booking(scenario, message).commit(),
        };
        self.was_rejected |= reply.is_err();
        reply
    }
}

/// The outcome after a time-out, or after a conflict with a reservation that is still in `HOLD`.
fn transient_failure() -> Outcome {
    let (code, reason) = (Reason::ReservationApiUnavailable, String::new());
    Outcome::Retried { code, reason, retry_after: None, outage: None }
}
