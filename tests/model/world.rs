//! The state of the queue, the workers, the network and the services.

use crate::scenario::{DUPLICATES, RESERVATIONS, Scenario};
use crate::services::Booking;

mod actions;
mod effects;
mod invariants;
mod outage;
mod steps;

pub use actions::{Action, Progress};
use outage::{Breaker, Outage, Phase};
use steps::Step;

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
    outage: Outage,
    /// Whether the inventory has rejected a request.
    was_rejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Message {
    /// The number of receives that count ([`outage`]).
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
    /// Whether its next call is the probe of the service whose breaker was open.
    is_probe: bool,
    /// Whether the service was found down since the message was received.
    met_outage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    UpdateStatus { message: usize },
    ChangeSeats { message: usize },
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let phase = if scenario.outage.is_some() { Phase::Ahead } else { Phase::Over };
        Self {
            bookings: [Some(Booking::HELD), None],
            messages: vec![Message { receives: 0, place: Place::Queue }; scenario.events.len()],
            workers: Vec::new(),
            late_requests: Vec::new(),
            faults: scenario.faults,
            duplicates: DUPLICATES,
            outage: Outage { phase, breaker: Breaker::Closed },
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

    fn is_in_flight(&self, message: usize) -> bool {
        self.workers.iter().any(|worker| worker.message == message)
    }

    /// Whether a delivery of the message is a duplicate.
    fn is_duplicate(&self, message: usize) -> bool {
        self.is_in_flight(message) || self.messages[message].place == Place::Deleted
    }
}
