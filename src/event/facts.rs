//! The rule of each fact, and where each of the five shapes contains it (contract section 2).
//!
//! A fact is a value that an event states, such as the reservation id or the seats.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ParseError;
use super::event_type::EventType;
use super::wire::{Envelope, Field, Fields, Spellings};
use crate::reservation::{Id, Seats};

/// The objects of a body that contain facts, in order of preference.
pub(super) struct Facts<'a>(Vec<Fields<'a>>);

/// Selects one fact of an object.
type Pick<'a> = fn(&Fields<'a>) -> Spellings<'a>;

impl<'a> Facts<'a> {
    /// Reads the facts in `detail` (EventBridge and the worker envelope), at the top level and in `payload` (flat
    /// shape), or at the top level (bare shape).
    pub(super) fn of(body: &'a str, envelope: &Envelope<'a>) -> Result<Self, ParseError> {
        Ok(Self(match (envelope.detail, envelope.payload) {
            (Some(detail), _) => vec![Fields::read("detail.", detail.get())?],
            (None, _) if envelope.detail_type.is_some() => {
                return Err(ParseError::new("detail", "is missing"));
            }
            (None, Some(payload)) => {
                vec![Fields::read("", body)?, Fields::read("payload.", payload.get())?]
            }
            (None, None) => vec![Fields::read("", body)?],
        }))
    }

    pub(super) fn reservation_id(&self) -> Result<Id, ParseError> {
        self.id(Fields::reservation_id)?.ok_or_else(|| self.missing_reservation_id())
    }

    pub(super) fn event_id(&self) -> Result<Option<Id>, ParseError> {
        self.id(Fields::event_id)
    }

    /// Reads the payment, which may have either of two names. If it is missing, the error contains `expected_name`:
    /// the name that the producer of this type of event uses.
    pub(super) fn payment_intent_id(&self, expected_name: &str) -> Result<String, ParseError> {
        let id = match self.text(Fields::payment_intent_id)? {
            None => self.text(Fields::payment_id)?,
            found => found,
        };
        id.map(|(_, id)| id).ok_or_else(|| self.missing(expected_name))
    }

    pub(super) fn user_id(&self) -> Result<Option<String>, ParseError> {
        self.text_or_number(Fields::user_id)
    }

    pub(super) fn error_code(&self) -> Result<Option<String>, ParseError> {
        self.text_or_number(Fields::error_code)
    }

    /// A `trace_id` that is not text is treated as absent: telemetry must not fail an event.
    pub(super) fn trace_id(&self) -> Option<String> {
        self.text(Fields::trace_id).ok()?.map(|(_, text)| text)
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
        let (field, event_type) = self.text(Fields::event_type)?.ok_or_else(|| self.missing("event_type"))?;
        if event_type != "payment.status_updated" {
            return Err(field.error("is not payment.status_updated"));
        }
        let (field, status) = self.text(Fields::status)?.ok_or_else(|| self.missing("status"))?;
        match status.as_str() {
            "PAYMENT_STATUS_COMPLETED" | "PAYMENT_STATUS_APPROVED" => Ok(EventType::PaymentApproved),
            "PAYMENT_STATUS_FAILED" | "PAYMENT_STATUS_CANCELLED" | "PAYMENT_STATUS_EXPIRED" => {
                Ok(EventType::PaymentFailed)
            }
            "PAYMENT_STATUS_PENDING" | "PAYMENT_STATUS_PROCESSING" | "PAYMENT_STATUS_REFUNDED" => {
                Ok(EventType::PaymentStatusUpdated)
            }
            _ => Err(field.error("is not a payment status that this worker knows")),
        }
    }

    /// The error for a missing reservation id. Every shape has this id in its first object.
    fn missing_reservation_id(&self) -> ParseError {
        missing(self.0.first(), "reservation_id")
    }

    fn missing(&self, name: &str) -> ParseError {
        missing(self.0.last(), name)
    }

    fn id(&self, pick: Pick<'a>) -> Result<Option<Id>, ParseError> {
        let text = self.text(pick)?;
        text.map(|(field, text)| Id::new(&text).map_err(|reason| field.error(reason))).transpose()
    }

    fn quantity(&self) -> Result<Option<i32>, ParseError> {
        let Some(field) = self.each(Fields::qty).chain(self.each(Fields::quantity)).next() else {
            return Ok(None);
        };
        match read(field.raw) {
            Some(quantity @ 1..=MAX_SEATS) => Ok(Some(quantity)),
            _ => Err(field.error("is not a whole number from 1 to 10000")),
        }
    }

    fn seat_ids(&self) -> Result<Vec<String>, ParseError> {
        for field in self.each(Fields::seat_ids) {
            let listed: Vec<&RawValue> = read(field.raw).ok_or_else(|| field.error("is not a list"))?;
            if listed.len() > MAX_SEATS as usize {
                return Err(field.error("has more than 10000 entries"));
            }
            let seats = listed.into_iter().enumerate().map(|(index, raw)| {
                let path = || format!("{}{}[{index}]", field.prefix, field.name);
                seat_id(raw).map_err(|reason| ParseError::new(path(), reason))
            });
            let seats = seats.collect::<Result<Vec<_>, _>>()?;
            if !seats.is_empty() {
                return Ok(seats);
            }
        }
        Ok(Vec::new())
    }

    /// The text of a fact, and its field. An empty text counts as absent, because producers in Go write an unset field
    /// as an empty string.
    fn text(&self, pick: Pick<'a>) -> Result<Option<(Field<'a>, String)>, ParseError> {
        for field in self.each(pick) {
            let text: String = read(field.raw).ok_or_else(|| field.error("is not a string"))?;
            if !text.is_empty() {
                return Ok(Some((field, text)));
            }
        }
        Ok(None)
    }

    /// The text of an optional fact that some producers write as a number.
    fn text_or_number(&self, pick: Pick<'a>) -> Result<Option<String>, ParseError> {
        let number = self.each(pick).next().filter(|field| read::<serde_json::Number>(field.raw).is_some());
        match number {
            // The JSON text, because a float would round a number of more than 16 digits.
            Some(field) => Ok(Some(field.raw.get().to_owned())),
            None => Ok(self.text(pick)?.map(|(_, text)| text)),
        }
    }

    /// Every value of a fact, in order of preference.
    fn each(&self, pick: Pick<'a>) -> impl Iterator<Item = Field<'a>> {
        self.0.iter().flat_map(pick).flatten()
    }
}

/// The `trace_id` of the envelope. A value that is not text is treated as absent.
pub(super) fn trace_id(envelope: &Envelope<'_>) -> Option<String> {
    let mut texts = envelope.trace_id().into_iter().flatten().filter_map(|field| read::<String>(field.raw));
    texts.find(|text| !text.is_empty())
}

/// The time that the event itself states. A time that cannot be read is treated as absent: telemetry must not fail an
/// event.
pub(super) fn time(envelope: &Envelope<'_>) -> Option<SystemTime> {
    [envelope.time, envelope.ts].into_iter().flatten().find_map(|raw| {
        let time = DateTime::from_str(&read::<String>(raw)?, Format::DateTimeWithOffset).ok()?;
        SystemTime::try_from(time).ok()
    })
}

const MAX_SEATS: i32 = 10_000;

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

fn missing(object: Option<&Fields<'_>>, name: &str) -> ParseError {
    let prefix = object.map_or("", |fields| fields.prefix);
    ParseError::new(format!("{prefix}{name}"), "is missing")
}
