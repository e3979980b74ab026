//! What happened to a hold, read from a record's body and checked (contract section 2).

use std::borrow::Cow;

use crate::reservation::{Id, Seats};

mod facts;
mod wire;

use facts::Facts;
use wire::Envelope;

/// What the worker is told. The one enum that decides the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// `reservation.expired`: nobody paid in time.
    ReservationExpired(Hold),
    /// `payment.approved`: the reservation is paid.
    PaymentApproved {
        /// Whose payment it is.
        hold: Hold,
        /// The payment that was approved.
        payment_intent_id: String,
        /// The customer.
        user_id: Option<String>,
    },
    /// `payment.failed`: the payment failed, was cancelled or expired.
    PaymentFailed {
        /// Whose payment it is.
        hold: Hold,
        /// Why, in the payment service's words.
        error_code: Option<String>,
    },
    /// A payment status that asks for nothing: pending, processing, refunded.
    PaymentUnderway(Hold),
}

/// The reservation that an event is about, with what the event knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The reservation.
    pub reservation_id: Id,
    /// The ticketed event; payment events may not carry it.
    pub event_id: Option<Id>,
    /// The seats; payment events may not carry them.
    pub seats: Option<Seats>,
}

impl Event {
    /// The reservation that the event is about.
    pub fn hold(&self) -> &Hold {
        match self {
            Self::ReservationExpired(hold) | Self::PaymentUnderway(hold) => hold,
            Self::PaymentApproved { hold, .. } | Self::PaymentFailed { hold, .. } => hold,
        }
    }

    /// The type as logs and metrics show it.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::ReservationExpired(_) => EventType::ReservationExpired,
            Self::PaymentApproved { .. } => EventType::PaymentApproved,
            Self::PaymentFailed { .. } => EventType::PaymentFailed,
            Self::PaymentUnderway(_) => EventType::PaymentStatusUpdated,
        }
    }
}

/// A closed set of types: aliases are folded into the type that they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// `reservation.expired`, also sent as `reservation.hold.expired`.
    ReservationExpired,
    /// `payment.approved`.
    PaymentApproved,
    /// `payment.failed`.
    PaymentFailed,
    /// The payment simulator's only type; its status says what it means.
    PaymentStatusUpdated,
}

impl EventType {
    /// All of them, in order.
    pub const ALL: [Self; 4] =
        [Self::ReservationExpired, Self::PaymentApproved, Self::PaymentFailed, Self::PaymentStatusUpdated];

    /// The label of the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReservationExpired => "reservation.expired",
            Self::PaymentApproved => "payment.approved",
            Self::PaymentFailed => "payment.failed",
            Self::PaymentStatusUpdated => "payment.status_updated",
        }
    }
}

/// A body that was understood.
#[derive(Debug)]
pub struct Parsed {
    /// The event.
    pub event: Event,
    /// The producer's `trace_id`, unchecked.
    pub trace_id: Option<String>,
    /// The quantity disagreed with the seats, and the seats won.
    pub quantity_disagrees: bool,
}

/// A body that was not understood: the path of the field and the reason, never the body's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ParseError {
    path: String,
    reason: Cow<'static, str>,
    /// The type, if that much was understood.
    pub event_type: Option<EventType>,
    /// The producer's `trace_id`, unchecked, if that much was understood.
    pub trace_id: Option<String>,
}

impl ParseError {
    fn new(path: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { path: path.into(), reason: reason.into(), event_type: None, trace_id: None }
    }
}

/// Reads a body in any of the five shapes, or a JSON string that holds one.
///
/// # Errors
///
/// [`ParseError`] when it is not JSON, of unknown type or status, or breaks the rule of a field.
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
        said => (said, "payment_intent_id"),
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
        EventType::PaymentStatusUpdated => Event::PaymentUnderway(hold),
    };
    Ok((event, quantity_disagrees))
}
