//! The rule of each fact, and where each of the five shapes contains it (contract section 2).
//!
//! A fact is a value that an event states, such as the reservation id or the seats.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ParseError;
use super::event_type::EventType;
use super::wire::{self, Envelope, Fields, Raw};
use crate::reservation::{Id, Seats};

/// The objects of a body that contain facts, in order of preference, each with its path.
pub(super) struct Facts<'a>(Vec<(&'static str, Fields<'a>)>);

/// Selects a fact of an object.
type Pick = for<'a, 'b> fn(&'b Fields<'a>) -> Raw<'a>;

impl<'a> Facts<'a> {
    /// The facts are in `detail` (EventBridge and the worker envelope), at the top level and in `payload` (flat
    /// shape), or at the top level (bare shape).
    pub(super) fn of(body: &'a str, envelope: &Envelope<'a>) -> Result<Self, ParseError> {
        let part = |prefix, json| Ok((prefix, wire::object(prefix, json)?));
        Ok(Self(match (envelope.detail, envelope.payload) {
            (Some(detail), _) => vec![part("detail.", detail.get())?],
            (None, _) if envelope.detail_type.is_some() => {
                return Err(ParseError::new("detail", "is missing"));
            }
            (None, Some(payload)) => vec![part("", body)?, part("payload.", payload.get())?],
            (None, None) => vec![part("", body)?],
        }))
    }

    pub(super) fn reservation_id(&self) -> Result<Id, ParseError> {
        self.id("reservation_id", |fields| fields.reservation_id)?
            .ok_or_else(|| self.missing_id("reservation_id"))
    }

    pub(super) fn event_id(&self) -> Result<Option<Id>, ParseError> {
        self.id("event_id", |fields| fields.event_id)
    }

    /// Reads the payment, which may have either of two names. If it is missing, the error contains `expected_name`:
    /// the name that the producer of this type of event uses.
    pub(super) fn payment_intent_id(&self, expected_name: &str) -> Result<String, ParseError> {
        let id = match self.text("payment_intent_id", |fields| fields.payment_intent_id)? {
            None => self.text("payment_id", |fields| fields.payment_id)?,
            found => found,
        };
        id.map(|(_, id)| id).ok_or_else(|| self.missing(expected_name))
    }

    pub(super) fn user_id(&self) -> Result<Option<String>, ParseError> {
        self.text_or_number("user_id", |fields| fields.user_id)
    }

    pub(super) fn error_code(&self) -> Result<Option<String>, ParseError> {
        self.text_or_number("error_code", |fields| fields.error_code)
    }

    /// A `trace_id` that is not text is treated as absent: telemetry must not fail an event.
    pub(super) fn trace_id(&self) -> Option<String> {
        self.text("trace_id", |fields| fields.trace_id).ok()?.map(|(_, text)| text)
    }

    /// The seats, and whether the quantity disagrees with their number.
    pub(super) fn seats(&self) -> Result<(Option<Seats>, bool), ParseError> {
        let quantity = self.quantity()?;
        let ids = self.seat_ids()?;
        let disagrees =
            !ids.is_empty() && quantity.is_some_and(|quantity| usize::try_from(quantity) != Ok(ids.len()));
        Ok((Seats::new(ids, quantity), disagrees))
    }

    /// The type of event that corresponds to the status of the payment simulator.
    pub(super) fn payment_status(&self) -> Result<EventType, ParseError> {
        let (prefix, event_type) =
            self.text("event_type", |fields| fields.event_type)?.ok_or_else(|| self.missing("event_type"))?;
        if event_type != "payment.status_updated" {
            return Err(error(prefix, "event_type", "is not payment.status_updated"));
        }
        let (prefix, status) =
            self.text("status", |fields| fields.status)?.ok_or_else(|| self.missing("status"))?;
        match status.as_str() {
            "PAYMENT_STATUS_COMPLETED" | "PAYMENT_STATUS_APPROVED" => Ok(EventType::PaymentApproved),
            "PAYMENT_STATUS_FAILED" | "PAYMENT_STATUS_CANCELLED" | "PAYMENT_STATUS_EXPIRED" => {
                Ok(EventType::PaymentFailed)
            }
            "PAYMENT_STATUS_PENDING" | "PAYMENT_STATUS_PROCESSING" | "PAYMENT_STATUS_REFUNDED" => {
                Ok(EventType::PaymentStatusUpdated)
            }
            _ => Err(error(prefix, "status", "is not a payment status that this worker knows")),
        }
    }

    /// The error for a missing reservation id or event id. Every shape has both ids in its first object.
    pub(super) fn missing_id(&self, field: &str) -> ParseError {
        error(self.0.first().map_or("", |(prefix, _)| prefix), field, "is missing")
    }

    fn missing(&self, field: &str) -> ParseError {
        error(self.0.last().map_or("", |(prefix, _)| prefix), field, "is missing")
    }

    fn id(&self, name: &str, pick: Pick) -> Result<Option<Id>, ParseError> {
        let text = self.text(name, pick)?;
        text.map(|(prefix, text)| Id::new(&text).map_err(|reason| error(prefix, name, reason))).transpose()
    }

    fn quantity(&self) -> Result<Option<i32>, ParseError> {
        let qty = ("qty", self.find(|fields| fields.qty));
        let (name, found) = match qty {
            (_, None) => ("quantity", self.find(|fields| fields.quantity)),
            found => found,
        };
        let Some((prefix, raw)) = found else { return Ok(None) };
        match read(raw) {
            Some(quantity @ 1..=MOST_SEATS) => Ok(Some(quantity)),
            _ => Err(error(prefix, name, "is not a whole number from 1 to 10000")),
        }
    }

    fn seat_ids(&self) -> Result<Vec<String>, ParseError> {
        for (prefix, fields) in &self.0 {
            let Some(raw) = fields.seat_ids else { continue };
            let listed: Vec<&RawValue> =
                read(raw).ok_or_else(|| error(prefix, "seat_ids", "is not a list"))?;
            if listed.len() > MOST_SEATS as usize {
                return Err(error(prefix, "seat_ids", "has more than 10000 entries"));
            }
            let seats = listed.into_iter().enumerate().map(|(index, raw)| {
                seat_id(raw).map_err(|reason| error(prefix, &format!("seat_ids[{index}]"), reason))
            });
            let seats = seats.collect::<Result<Vec<_>, _>>()?;
            if !seats.is_empty() {
                return Ok(seats);
            }
        }
        Ok(Vec::new())
    }

    /// A text, and the path of the object that contains it. An empty text counts as absent, because producers in Go
    /// write an unset field as an empty string.
    fn text(&self, name: &str, pick: Pick) -> Result<Option<(&'static str, String)>, ParseError> {
        for (prefix, fields) in &self.0 {
            let Some(raw) = pick(fields) else { continue };
            let text: String = read(raw).ok_or_else(|| error(prefix, name, "is not a string"))?;
            if !text.is_empty() {
                return Ok(Some((prefix, text)));
            }
        }
        Ok(None)
    }

    /// An optional fact that some producers write as a number.
    fn text_or_number(&self, name: &str, pick: Pick) -> Result<Option<String>, ParseError> {
        let number = self.find(pick).filter(|(_, raw)| read::<serde_json::Number>(raw).is_some());
        match number {
            // The JSON text, because a float would round a number of more than 16 digits.
            Some((_, raw)) => Ok(Some(raw.get().to_owned())),
            None => Ok(self.text(name, pick)?.map(|(_, text)| text)),
        }
    }

    fn find(&self, pick: Pick) -> Option<(&'static str, &'a RawValue)> {
        self.0.iter().find_map(|(prefix, fields)| Some((*prefix, pick(fields)?)))
    }
}

const MOST_SEATS: i32 = 10_000;

fn seat_id(raw: &RawValue) -> Result<String, &'static str> {
    let id: String = read(raw).ok_or("is not a string")?;
    match id.chars().count() {
        0 => Err("is empty"),
        1..=64 => Ok(id),
        _ => Err("is longer than 64 characters"),
    }
}

/// The value, if it is of type `T`.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn error(prefix: &str, field: &str, reason: &'static str) -> ParseError {
    ParseError::new(format!("{prefix}{field}"), reason)
}
