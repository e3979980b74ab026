//! What happened to a hold, read from the body of a record and validated (contract section 2).

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
    /// A payment status that needs no work: pending, processing, refunded.
    PaymentStatusUpdated(Hold),
}

/// The reservation that an event is about, as far as the event describes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The reservation.
    pub reservation_id: Id,
    /// The ticketed event, such as a concert. Payment events often lack it.
    pub event_id: Option<Id>,
    /// The seats. Payment events often lack them.
    pub seats: Option<Seats>,
}

impl Event {
    /// The reservation that the event is about.
    pub fn hold(&self) -> &Hold {
        match self {
            Self::ReservationExpired(hold) | Self::PaymentStatusUpdated(hold) => hold,
            Self::PaymentApproved { hold, .. } | Self::PaymentFailed { hold, .. } => hold,
        }
    }

    /// The type as logs and metrics show it.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::ReservationExpired(_) => EventType::ReservationExpired,
            Self::PaymentApproved { .. } => EventType::PaymentApproved,
            Self::PaymentFailed { .. } => EventType::PaymentFailed,
            Self::PaymentStatusUpdated(_) => EventType::PaymentStatusUpdated,
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
    let typed = |error| ParseError { event_type: Some(event_type), ..error };
    let facts = Facts::of(body, &envelope).map_err(typed)?;
    let trace_id = envelope.trace_id.and_then(facts::read).or_else(|| facts.trace_id());
    match read_event(event_type, &facts) {
        Ok((event, quantity_disagrees)) => Ok(Parsed { event, trace_id, quantity_disagrees }),
        Err(error) => Err(ParseError { trace_id, ..typed(error) }),
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
        "Payment Status Updated" if path == "detail-type" => Ok(EventType::PaymentStatusUpdated),
        _ => Err(ParseError::new(path, "is not a type that this worker knows")),
    }
}

/// The event, and whether its quantity disagrees with its seats.
fn read_event(event_type: EventType, facts: &Facts<'_>) -> Result<(Event, bool), ParseError> {
    let (meaning, payment_id) = match event_type {
        EventType::PaymentStatusUpdated => (facts.payment_status()?, "payment_id"),
        other => (other, "payment_intent_id"),
    };
    let (seats, quantity_disagrees) = facts.seats()?;
    let hold = Hold { reservation_id: facts.reservation_id()?, event_id: facts.event_id()?, seats };
    let event = match meaning {
        EventType::ReservationExpired if hold.event_id.is_none() => {
            return Err(facts.missing_id("event_id"));
        }
        EventType::ReservationExpired => Event::ReservationExpired(hold),
        EventType::PaymentApproved => Event::PaymentApproved {
            hold,
            payment_intent_id: facts.payment_intent_id(payment_id)?,
            user_id: facts.user_id()?,
        },
        EventType::PaymentFailed => Event::PaymentFailed { hold, error_code: facts.error_code()? },
        EventType::PaymentStatusUpdated => Event::PaymentStatusUpdated(hold),
    };
    Ok((event, quantity_disagrees))
}
