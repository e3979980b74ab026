//! What happened to a hold, read from the body of a record and validated (contract section 2).

use std::time::SystemTime;

use crate::reservation::{Id, Seats};

mod error;
mod event_type;
mod facts;
mod wire;

pub use error::ParseError;
pub use event_type::EventType;
use facts::Facts;
use wire::Envelope;

/// A validated event. Its variant decides the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// `reservation.expired`: the hold ended without a payment.
    ReservationExpired(Hold),
    /// `payment.approved`: the reservation is paid.
    PaymentApproved {
        /// The reservation that was paid for.
        hold: Hold,
        /// The approved payment.
        payment_intent_id: String,
        /// The customer.
        user_id: Option<String>,
    },
    /// `payment.failed`: the payment failed, was cancelled or expired.
    PaymentFailed {
        /// The reservation that was to be paid for.
        hold: Hold,
        /// The error code of the payment service.
        error_code: Option<String>,
    },
    /// An event that needs no work: an event of a type that never needs work, or a payment status that is pending,
    /// processing or refunded.
    NoWork {
        /// Its type.
        event_type: EventType,
        /// The reservation that it is about, if the event contains one.
        hold: Option<Hold>,
    },
}

/// The hold that an event is about: a reservation and its seats, as far as the event describes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The reservation.
    pub reservation_id: Id,
    /// The ticketed event, such as a concert. Events often lack it.
    pub event_id: Option<Id>,
    /// The seats. Events often lack them.
    pub seats: Option<Seats>,
}

impl Event {
    /// The hold that the event is about. Only an event that needs no work can lack it.
    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::ReservationExpired(hold)
            | Self::PaymentApproved { hold, .. }
            | Self::PaymentFailed { hold, .. } => Some(hold),
            Self::NoWork { hold, .. } => hold.as_ref(),
        }
    }

    /// The type as logs and metrics show it.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::ReservationExpired(_) => EventType::ReservationExpired,
            Self::PaymentApproved { .. } => EventType::PaymentApproved,
            Self::PaymentFailed { .. } => EventType::PaymentFailed,
            Self::NoWork { event_type, .. } => *event_type,
        }
    }
}

/// A body that was understood.
#[derive(Debug)]
pub struct Parsed {
    /// The event.
    pub event: Event,
    /// The `trace_id` of the producer, unchecked.
    pub trace_id: Option<String>,
    /// The time of the event: its `time` or `ts`, if that can be read.
    pub time: Option<SystemTime>,
    /// Whether the quantity disagreed with the number of seats. If it did, the number of seats is used.
    pub quantity_disagrees: bool,
}

/// Reads a body in any of the five shapes, or a JSON string that contains such a body.
///
/// # Errors
///
/// [`ParseError`] when the body is not JSON, has an unknown type or status, or violates the rule of a field.
pub fn parse(body: Option<&str>) -> Result<Parsed, ParseError> {
    let body = body.ok_or_else(|| ParseError::new("body", "is missing"))?;
    if body.trim_ascii_start().starts_with('"')
        && let Ok(inner) = serde_json::from_str::<String>(body)
    {
        return parse_object(&inner);
    }
    parse_object(body)
}

fn parse_object(body: &str) -> Result<Parsed, ParseError> {
    let envelope: Envelope<'_> = wire::object("", body)?;
    let event_type = event_type(&envelope)?;
    let time = facts::time(&envelope);
    if event_type.never_needs_work() {
        let facts = Facts::of(body, &envelope).ok();
        let trace_id = facts::trace_id(&envelope).or_else(|| facts.as_ref()?.trace_id());
        let event = Event::NoWork { event_type, hold: facts.and_then(|facts| known_hold(&facts)) };
        return Ok(Parsed { event, trace_id, time, quantity_disagrees: false });
    }
    let with_type = |error| ParseError { event_type: Some(event_type), ..error };
    wire::must_agree(envelope.trace_id()).map_err(with_type)?;
    let facts = Facts::of(body, &envelope).map_err(with_type)?;
    let trace_id = facts::trace_id(&envelope).or_else(|| facts.trace_id());
    match read_event(event_type, &facts) {
        Ok((event, quantity_disagrees)) => Ok(Parsed { event, trace_id, time, quantity_disagrees }),
        Err(error) => Err(ParseError { trace_id, ..with_type(error) }),
    }
}

fn event_type(envelope: &Envelope<'_>) -> Result<EventType, ParseError> {
    let (path, name) = match (envelope.detail_type, envelope.event_type) {
        (Some(name), _) => ("detail-type", name),
        (None, Some(name)) => ("type", name),
        (None, None) => return Err(ParseError::new("type", "is missing, and so is detail-type")),
    };
    let name: String = facts::read(name).ok_or_else(|| ParseError::new(path, "is not a string"))?;
    match name.as_str() {
        "reservation.expired" | "reservation.hold.expired" => Ok(EventType::ReservationExpired),
        "payment.approved" => Ok(EventType::PaymentApproved),
        "payment.failed" => Ok(EventType::PaymentFailed),
        "reservation.hold.created" => Ok(EventType::ReservationHoldCreated),
        "reservation.created" => Ok(EventType::ReservationCreated),
        "reservation.confirmed" => Ok(EventType::ReservationConfirmed),
        "worker.heartbeat" => Ok(EventType::WorkerHeartbeat),
        "Payment Status Updated" if path == "detail-type" => Ok(EventType::PaymentStatusUpdated),
        _ => Err(ParseError::new(path, "is not a type that this worker knows")),
    }
}

/// The event, and whether its quantity disagrees with its seats.
fn read_event(event_type: EventType, facts: &Facts<'_>) -> Result<(Event, bool), ParseError> {
    let (event_type, payment_id) = match event_type {
        EventType::PaymentStatusUpdated => (facts.payment_status()?, "payment_id"),
        _ => (event_type, "payment_intent_id"),
    };
    let (seats, quantity_disagrees) = facts.seats()?;
    let hold = Hold { reservation_id: facts.reservation_id()?, event_id: facts.event_id()?, seats };
    let event = match event_type {
        EventType::ReservationExpired => Event::ReservationExpired(hold),
        EventType::PaymentApproved => Event::PaymentApproved {
            hold,
            payment_intent_id: facts.payment_intent_id(payment_id)?,
            user_id: facts.user_id()?,
        },
        EventType::PaymentFailed => Event::PaymentFailed { hold, error_code: facts.error_code()? },
        EventType::PaymentStatusUpdated
        | EventType::ReservationHoldCreated
        | EventType::ReservationCreated
        | EventType::ReservationConfirmed
        | EventType::WorkerHeartbeat => Event::NoWork { event_type, hold: Some(hold) },
    };
    Ok((event, quantity_disagrees))
}

/// The hold of an event that needs no facts, if the reservation id is valid.
fn known_hold(facts: &Facts<'_>) -> Option<Hold> {
    let (reservation_id, event_id) = (facts.reservation_id().ok()?, facts.event_id().ok().flatten());
    Some(Hold { reservation_id, event_id, seats: None })
}
