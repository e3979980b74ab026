//! The state of the queue, the workers, the network and the services, and the actions that are possible in a
//! state.

use std::fmt;

use reservation_worker::event::{Event, EventType, Hold};
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::{Ending, Id};
use reservation_worker::services::inventory;
use reservation_worker::services::reservation_api::Transition;
use reservation_worker::workflow::{Decision, SeatStep, decide, steps};
use strum::VariantArray;

use crate::services::{Booking, Seat, StatusReply};

/// The number of duplicate deliveries: of a message that another worker handles, or that was deleted.
const DUPLICATES: u8 = 1;
const WORKERS: usize = 2;
const RESERVATIONS: usize = 2;

/// Which of the two steps is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStep {
    Status,
    Seats,
    /// The seats for an event that releases them, the status for an event that sells them.
    Release,
}

/// The events that are sent, and the number of faults.
#[derive(Debug)]
pub struct Scenario {
    pub first: FirstStep,
    /// Each event is about reservation 0 or 1.
    pub events: Vec<Event>,
    /// The number of crashes and of requests that arrive late or never.
    pub faults: u8,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} first, {} faults", self.first, self.faults)?;
        self.events.iter().enumerate().try_for_each(|(message, event)| {
            let (event_type, reservation) = (event.event_type().as_str(), self.reservation(message));
            write!(f, ", message {message} = {event_type} of reservation {reservation}")
        })
    }
}

/// One event of each type that needs work for each reservation.
pub fn all_events() -> Vec<Event> {
    let events_of = |reservation: usize| {
        let hold =
            Hold { reservation_id: Id::new(&reservation.to_string()).unwrap(), event_id: None, seats: None };
        EventType::VARIANTS.iter().filter_map(move |event_type| {
            let hold = hold.clone();
            Some(match event_type {
                EventType::ReservationExpired => Event::ReservationExpired(hold),
                EventType::PaymentApproved => {
                    Event::PaymentApproved { hold, payment_intent_id: "pi".to_owned(), user_id: None }
                }
                EventType::PaymentFailed => Event::PaymentFailed { hold, error_code: None },
                EventType::PaymentStatusUpdated
                | EventType::ReservationHoldCreated
                | EventType::ReservationCreated
                | EventType::ReservationConfirmed
                | EventType::WorkerHeartbeat => return None,
            })
        })
    };
    (0..RESERVATIONS).flat_map(events_of).collect()
}

/// The state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Both reservations compete for one seat. `None` means that the reservation does not exist yet.
    bookings: [Option<Booking>; RESERVATIONS],
    messages: Vec<Message>,
    /// Sorted, because states that differ only in the order of the workers are equivalent.
    workers: Vec<Worker>,
    /// Requests that are still in the network after their worker stopped waiting. Sorted, for the same
    /// reason.
    late_requests: Vec<Request>,
    /// The number of faults that can still occur.
    faults: u8,
    /// The number of duplicate deliveries that can still occur.
    duplicates: u8,
    /// Whether the inventory has rejected a request.
    was_rejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Message {
    receives: u8,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Queue,
    Deleted,
    DeadLetters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Worker {
    message: usize,
    next: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    UpdateStatus,
    /// After a conflict whose reply does not contain the current status.
    ReadStatus,
    ChangeSeats,
    Respond {
        acknowledged: bool,
    },
}

impl Step {
    fn respond(outcome: &Outcome) -> Self {
        Self::Respond { acknowledged: sqs_batch::Outcome::is_acknowledged(outcome) }
    }
}

/// The outcome after a time-out, or after a conflict with a reservation that is still in `HOLD`.
fn transient_failure() -> Outcome {
    let (code, reason) = (Reason::ReservationApiUnavailable, String::new());
    Outcome::Retried { code, reason, retry_after: None, outage: None }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    UpdateStatus { message: usize },
    ChangeSeats { message: usize },
}

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
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            bookings: [Some(Booking::HELD), None],
            messages: vec![Message { receives: 0, place: Place::Queue }; scenario.events.len()],
            workers: Vec::new(),
            late_requests: Vec::new(),
            faults: scenario.faults,
            duplicates: DUPLICATES,
            was_rejected: false,
        }
    }

    /// Whether nothing is left to do, except that a customer can reserve the seat.
    pub fn has_ended(&self, scenario: &Scenario) -> bool {
        let is_waiting =
            |message: usize| self.messages[message].place == Place::Queue && self.is_sent(scenario, message);
        self.workers.is_empty() && self.late_requests.is_empty() && !(0..self.messages.len()).any(is_waiting)
    }

    /// An event is only sent about a reservation that exists.
    fn is_sent(&self, scenario: &Scenario, message: usize) -> bool {
        self.bookings[scenario.reservation(message)].is_some()
    }

    pub fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        let seat_is_free = !self.bookings.iter().flatten().any(|booking| booking.owns_the_seat());
        let missing = (0..RESERVATIONS).filter(|reservation| self.bookings[*reservation].is_none());
        actions.extend(missing.filter(|_| seat_is_free).map(|reservation| Action::Reserve { reservation }));
        if self.workers.len() < WORKERS {
            let available =
                (0..self.messages.len()).filter(|message| self.can_be_delivered(scenario, *message));
            actions.extend(available.map(|message| Action::Deliver { message }));
        }
        for (worker, Worker { next, .. }) in self.workers.iter().enumerate() {
            actions.push(Action::PerformStep { worker });
            if *next == Step::UpdateStatus {
                actions.push(Action::UpdateStatusWithoutDetails { worker });
            }
            if self.faults > 0 {
                actions.push(Action::Crash { worker });
                if matches!(next, Step::UpdateStatus | Step::ChangeSeats) {
                    actions.extend([true, false].map(|tries_again| Action::TimeOut { worker, tries_again }));
                }
            }
        }
        for request in 0..self.late_requests.len() {
            actions.extend([Action::ArriveLate { request }, Action::Lose { request }]);
        }
        actions
    }

    fn can_be_delivered(&self, scenario: &Scenario, message: usize) -> bool {
        let Message { receives, place } = self.messages[message];
        let is_in_flight = self.workers.iter().any(|worker| worker.message == message);
        let is_duplicate = is_in_flight || place == Place::Deleted;
        self.is_sent(scenario, message)
            && place != Place::DeadLetters
            && receives < scenario.max_receives()
            && (!is_duplicate || self.duplicates > 0)
    }

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
                let is_in_flight = self.workers.iter().any(|worker| worker.message == message);
                if is_in_flight || self.messages[message].place == Place::Deleted {
                    self.duplicates -= 1;
                }
                self.messages[message].receives += 1;
                self.workers.push(Worker { message, next: scenario.first_step(message) });
            }
            Action::PerformStep { worker } => match self.perform(scenario, self.workers[worker]) {
                Some(next) => self.workers[worker].next = next,
                None => drop(self.workers.remove(worker)),
            },
            Action::UpdateStatusWithoutDetails { worker } => {
                let message = self.workers[worker].message;
                self.workers[worker].next = match self.update_status(scenario, message) {
                    StatusReply::Done => scenario.after_status(message),
                    StatusReply::AlreadyEnded(_) => Step::ReadStatus,
                };
            }
            Action::TimeOut { worker, tries_again } => {
                self.faults -= 1;
                let Worker { message, next } = self.workers[worker];
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
                let Worker { message, .. } = self.workers.remove(worker);
                self.return_message(scenario, message);
            }
        }
    }

    /// Performs the next step of a worker without a fault. Returns the step after it; there is none after a
    /// response.
    fn perform(&mut self, scenario: &Scenario, Worker { message, next }: Worker) -> Option<Step> {
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
            Step::Respond { acknowledged: true } => {
                self.messages[message].place = Place::Deleted;
                return None;
            }
            Step::Respond { acknowledged: false } => {
                self.return_message(scenario, message);
                return None;
            }
        })
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

    /// The invariant that is broken by the change from this state to the next one.
    pub fn broken_by_change_to(&self, next: &Self) -> Option<&'static str> {
        let sold = |world: &Self, reservation: usize| {
            world.bookings[reservation].is_some_and(|booking| booking.seat == Seat::Sold)
        };
        (0..RESERVATIONS)
            .any(|reservation| sold(self, reservation) && !sold(next, reservation))
            .then_some("a sold seat stays sold")
    }

    /// The invariant that does not hold in this state.
    pub fn broken(&self, scenario: &Scenario) -> Option<&'static str> {
        let bookings = || self.bookings.iter().flatten();
        // A correct inventory rejects requests that would sell a seat twice. The worker must not depend on
        // that.
        if self.was_rejected && scenario.first == FirstStep::Status {
            return Some("the worker sends no request that the inventory rejects");
        }
        if bookings().filter(|booking| booking.owns_the_seat()).count() > 1 {
            return Some("a seat is held by or sold to one reservation only");
        }
        for booking in bookings() {
            // A sold or released seat stays in that state, so these contradictions are permanent.
            match (booking.status, booking.seat) {
                (Some(Ending::Confirmed), Seat::Released) => {
                    return Some("the seat of a confirmed reservation is sold");
                }
                (Some(Ending::Expired | Ending::Cancelled), Seat::Sold) => {
                    return Some("the seat of an expired or cancelled reservation is released");
                }
                _ => {}
            }
        }
        if !self.has_ended(scenario) {
            return None;
        }
        if bookings().any(|booking| booking.status.is_some() != (booking.seat != Seat::Held)) {
            return Some("at the end the status and the seat agree");
        }
        let has_wrong_end = |message: usize| {
            let status = self.bookings[scenario.reservation(message)].map(|booking| booking.status);
            match (self.messages[message].place, status) {
                (Place::Deleted, Some(None)) => true,
                (Place::Deleted, Some(Some(status))) => scenario.must_be_rejected(message, status),
                (Place::DeadLetters, Some(Some(status))) => !scenario.must_be_rejected(message, status),
                (Place::DeadLetters, _) => true,
                _ => false,
            }
        };
        (0..self.messages.len())
            .any(has_wrong_end)
            .then_some("an event succeeds, is superseded, or is rejected as a dead letter")
    }
}

impl Scenario {
    /// Enough receives that faults and duplicates alone cannot make a message a dead letter.
    fn max_receives(&self) -> u8 {
        self.faults + DUPLICATES + 1
    }

    fn is_status_first(&self, message: usize) -> bool {
        match self.first {
            FirstStep::Status => true,
            FirstStep::Seats => false,
            FirstStep::Release => matches!(self.steps(message), (_, SeatStep::Commit { .. })),
        }
    }

    fn first_step(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::UpdateStatus } else { Step::ChangeSeats }
    }

    fn after_status(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::ChangeSeats } else { Step::respond(&Outcome::Success) }
    }

    fn after_seats(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::respond(&Outcome::Success) } else { Step::UpdateStatus }
    }

    fn steps(&self, message: usize) -> (Transition<'_>, SeatStep<'_>) {
        steps(&self.events[message]).expect("an event with steps")
    }

    fn reservation(&self, message: usize) -> usize {
        self.events[message].hold().expect("a reservation").reservation_id.as_str().parse().expect("an index")
    }

    /// The step after the reservation API replied that the reservation already has a final status.
    fn after_conflict(&self, message: usize, found: Ending) -> Step {
        let (transition, _) = self.steps(message);
        match decide(transition.to, found) {
            Decision::Continue => self.after_status(message),
            Decision::Superseded => Step::respond(&Outcome::Superseded(String::new())),
            Decision::Reject(code, reason) => {
                Step::respond(&Outcome::Failed { code, reason: reason.to_owned() })
            }
        }
    }

    /// Whether the event contradicts the final status, so that a person must act: an approved payment of a
    /// reservation that is not confirmed, or a failed payment of a confirmed one. A second implementation of
    /// the contract's table of status replies (section 3), independent of the worker's.
    fn must_be_rejected(&self, message: usize, status: Ending) -> bool {
        let (transition, _) = self.steps(message);
        match transition.to {
            Ending::Expired => false,
            Ending::Confirmed => status != Ending::Confirmed,
            Ending::Cancelled => status == Ending::Confirmed,
        }
    }
}
