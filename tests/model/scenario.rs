//! What is searched: the events that are sent, the failures, and the variant of the worker.

use std::fmt;

use reservation_worker::call::Service;
use reservation_worker::event::{Event, EventType, Hold};
use reservation_worker::reservation::{Ending, Id};
use reservation_worker::services::reservation_api::Transition;
use reservation_worker::workflow::{SeatStep, steps};
use strum::VariantArray;

/// The number of duplicate deliveries: of a message that another worker handles, or that was deleted.
pub const DUPLICATES: u8 = 1;
pub const RESERVATIONS: usize = 2;

/// Which of the two steps is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStep {
    Status,
    Seats,
    /// The seats for an event that releases them, the status for an event that sells them.
    Release,
}

/// Which records probe a service while its breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probing {
    /// One waiting record after the other, until a probe closes the breaker.
    OneAfterTheOther,
    /// Wrong: none.
    Never,
    /// Wrong: none after a probe that the deadline or a crash has cut off.
    UntilOneIsCutOff,
}

/// The events that are sent, the failures, and the variant of the worker.
#[derive(Debug)]
pub struct Scenario {
    pub first: FirstStep,
    pub probing: Probing,
    /// Each event is about reservation 0 or 1.
    pub events: Vec<Event>,
    /// The number of crashes and of requests that arrive late or never.
    pub faults: u8,
    /// The service that can have an outage.
    pub outage: Option<Service>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} first, {} faults", self.first, self.faults)?;
        if let Some(service) = self.outage {
            write!(f, ", an outage of {}, probing {:?}", service.as_str(), self.probing)?;
        }
        self.events.iter().enumerate().try_for_each(|(message, event)| {
            let (event_type, reservation) = (event.event_type().as_str(), self.reservation(message));
            write!(f, ", message {message} = {event_type} of reservation {reservation}")
        })
    }
}

impl Scenario {
    /// The number of receives that count ([`crate::world::outage`]): so many that faults and duplicates alone cannot
    /// make a message a dead letter.
    pub fn max_receives(&self) -> u8 {
        self.faults + DUPLICATES + 1
    }

    pub fn is_status_first(&self, message: usize) -> bool {
        match self.first {
            FirstStep::Status => true,
            FirstStep::Seats => false,
            FirstStep::Release => matches!(self.steps(message), (_, SeatStep::Commit { .. })),
        }
    }

    pub fn steps(&self, message: usize) -> (Transition<'_>, SeatStep<'_>) {
        steps(&self.events[message]).expect("an event with steps")
    }

    pub fn reservation(&self, message: usize) -> usize {
        self.events[message].hold().expect("a reservation").reservation_id.as_str().parse().expect("an index")
    }

    /// Whether the event contradicts the final status, so that a person must act: an approved payment of a
    /// reservation that is not confirmed, or a failed payment of a confirmed one. A second implementation of
    /// the contract's table of status replies (section 3), independent of the worker's.
    pub fn must_be_rejected(&self, message: usize, status: Ending) -> bool {
        let (transition, _) = self.steps(message);
        match transition.to {
            Ending::Expired => false,
            Ending::Confirmed => status != Ending::Confirmed,
            Ending::Cancelled => status == Ending::Confirmed,
        }
    }
}

/// Multisets of `size` events. An event can occur more than once.
pub fn multisets(size: usize) -> Vec<Vec<Event>> {
    let Some(smaller) = size.checked_sub(1) else { return vec![Vec::new()] };
    let events = all_events();
    let index = |event: &Event| events.iter().position(|other| other == event);
    let with_one_more = |set: Vec<Event>| {
        let from = set.last().and_then(index).unwrap_or(0);
        events[from..]
            .iter()
            .map(|event| [&set[..], std::slice::from_ref(event)].concat())
            .collect::<Vec<_>>()
    };
    multisets(smaller).into_iter().flat_map(with_one_more).collect()
}

/// One event of each type that needs work for each reservation.
fn all_events() -> Vec<Event> {
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
