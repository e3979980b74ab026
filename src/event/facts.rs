//! The rule of each fact, and where in the five shapes it stands (contract section 2).

use super::wire::{self, Envelope, Fields};
use super::{EventType, ParseError};
use crate::reservation::{Id, Seats};

/// The places of a body that hold facts, first choice first, each with its path.
pub(super) struct Facts(Vec<(&'static str, Fields)>);

impl Facts {
    /// EventBridge and the worker's own envelope keep them in `detail`, the flat shape at the top and in
    /// `payload`, the bare one at the top.
    pub(super) fn of(body: &str, envelope: &Envelope<'_>) -> Result<Self, ParseError> {
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
        self.id("reservation_id", |fields| &fields.reservation_id)?
            .ok_or_else(|| self.missing("reservation_id"))
    }

    pub(super) fn event_id(&self) -> Result<Option<Id>, ParseError> {
        self.id("event_id", |fields| &fields.event_id)
    }

    pub(super) fn payment_intent_id(&self) -> Result<String, ParseError> {
        self.text(|fields| &fields.payment_intent_id)
            .or_else(|| self.text(|fields| &fields.payment_id))
            .map(|(_, text)| text.to_owned())
            .ok_or_else(|| self.missing("payment_intent_id"))
    }

    pub(super) fn user_id(&self) -> Option<String> {
        self.text(|fields| &fields.user_id)
            .map(|(_, text)| text.to_owned())
    }

    pub(super) fn error_code(&self) -> Option<String> {
        self.text(|fields| &fields.error_code)
            .map(|(_, text)| text.to_owned())
    }

    /// The seats, and whether a quantity beside them disagrees with their number.
    pub(super) fn seats(&self) -> Result<(Option<Seats>, bool), ParseError> {
        let quantity = self.quantity()?;
        let ids = self.seat_ids()?;
        let disagrees =
            !ids.is_empty() && quantity.is_some_and(|quantity| usize::try_from(quantity) != Ok(ids.len()));
        Ok((Seats::new(ids, quantity), disagrees))
    }

    /// What the payment simulator's status means.
    pub(super) fn payment_status(&self) -> Result<EventType, ParseError> {
        match self.text(|fields| &fields.event_type) {
            Some((_, "payment.status_updated")) => {}
            Some((prefix, _)) => return Err(error(prefix, "event_type", "is not payment.status_updated")),
            None => return Err(self.missing("event_type")),
        }
        let (prefix, status) = self
            .text(|fields| &fields.status)
            .ok_or_else(|| self.missing("status"))?;
        match status {
            "PAYMENT_STATUS_COMPLETED" | "PAYMENT_STATUS_APPROVED" => Ok(EventType::PaymentApproved),
            "PAYMENT_STATUS_FAILED" | "PAYMENT_STATUS_CANCELLED" | "PAYMENT_STATUS_EXPIRED" => {
                Ok(EventType::PaymentFailed)
            }
            "PAYMENT_STATUS_PENDING" | "PAYMENT_STATUS_PROCESSING" | "PAYMENT_STATUS_REFUNDED" => {
                Ok(EventType::PaymentStatusUpdated)
            }
            _ => Err(error(
                prefix,
                "status",
                "is not a payment status that this worker knows",
            )),
        }
    }

    pub(super) fn missing(&self, field: &str) -> ParseError {
        error(
            self.0.first().map_or("", |(prefix, _)| prefix),
            field,
            "is missing",
        )
    }

    fn id(&self, name: &str, field: impl Fn(&Fields) -> &Option<String>) -> Result<Option<Id>, ParseError> {
        self.text(field)
            .map(|(prefix, text)| Id::new(text).map_err(|reason| error(prefix, name, reason)))
            .transpose()
    }

    fn quantity(&self) -> Result<Option<i32>, ParseError> {
        let named = self.0.iter().find_map(|(prefix, fields)| {
            let qty = fields.qty.map(|value| (*prefix, "qty", value));
            qty.or_else(|| fields.quantity.map(|value| (*prefix, "quantity", value)))
        });
        named
            .map(|(prefix, name, value)| match i32::try_from(value) {
                Ok(value @ 1..=MOST_SEATS) => Ok(value),
                _ => Err(error(prefix, name, "is not from 1 to 10000")),
            })
            .transpose()
    }

    fn seat_ids(&self) -> Result<Vec<String>, ParseError> {
        let listed = self.0.iter().find_map(|(prefix, fields)| {
            fields
                .seat_ids
                .as_ref()
                .filter(|ids| !ids.is_empty())
                .map(|ids| (*prefix, ids))
        });
        let Some((prefix, ids)) = listed else {
            return Ok(Vec::new());
        };
        if ids.len() > MOST_SEATS as usize {
            return Err(error(prefix, "seat_ids", "has more than 10000 entries"));
        }
        for (place, id) in ids.iter().enumerate() {
            let reason = match id.chars().count() {
                0 => "is empty",
                1..=64 => continue,
                _ => "is longer than 64 characters",
            };
            return Err(error(prefix, &format!("seat_ids[{place}]"), reason));
        }
        Ok(ids.clone())
    }

    /// A text and the path that it stands under. Empty is absent: Go producers write unset texts so.
    fn text(&self, field: impl Fn(&Fields) -> &Option<String>) -> Option<(&'static str, &str)> {
        self.0.iter().find_map(|(prefix, fields)| {
            field(fields)
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(|text| (*prefix, text))
        })
    }
}

const MOST_SEATS: i32 = 10_000;

fn error(prefix: &str, field: &str, reason: &'static str) -> ParseError {
    ParseError::new(format!("{prefix}{field}"), reason)
}
