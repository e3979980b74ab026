//! The reservation API's own state: one status a reservation, moved once, from `HOLD`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::idempotency::{BadKey, Replies};
use crate::services::Hold;

/// Status of a reservation (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waiting for what happens after the hold.
    Hold,
    /// Paid.
    Confirmed,
    /// Payment failed.
    Cancelled,
    /// Not paid in time.
    Expired,
}

/// A reservation as the API replies it (contract section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its name in both services.
    pub reservation_id: String,
    /// The ticketed event.
    pub event_id: String,
    /// Who reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Its seats; empty for a quantity-based hold.
    pub seat_ids: Vec<String>,
    /// How many places it holds.
    pub quantity: u32,
    /// As given in the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// As given in the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_intent_id: Option<String>,
    /// As given in the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of the status update; unknown fields are ignored.
#[derive(Clone, PartialEq, Deserialize)]
pub(crate) struct StatusUpdate {
    status: Status,
    payment_intent_id: Option<String>,
    reason: Option<String>,
    error_code: Option<String>,
    order_id: Option<String>,
}

/// Why the API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    BadKey(#[from] BadKey),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("no such reservation")]
    NotFound,
    #[error("the reservation is no longer held: {0:?}")]
    NotHeld(Status),
}

impl Refusal {
    /// HTTP status and the error body's `code`.
    pub(crate) fn reply(&self) -> (u16, &'static str) {
        match self {
            Self::BadKey(BadKey::Missing) => (400, "IDEMPOTENCY_REQUIRED"),
            Self::BadKey(BadKey::Conflict) => (409, "IDEMPOTENCY_CONFLICT"),
            Self::InvalidArgument(_) | Self::NotHeld(Status::Hold) => (400, "INVALID_ARGUMENT"),
            Self::NotFound => (404, "RESERVATION_NOT_FOUND"),
            Self::NotHeld(Status::Confirmed) => (409, "RESERVATION_ALREADY_CONFIRMED"),
            Self::NotHeld(Status::Cancelled) => (409, "RESERVATION_ALREADY_CANCELLED"),
            Self::NotHeld(Status::Expired) => (409, "RESERVATION_EXPIRED"),
        }
    }
}

#[derive(Default)]
pub(crate) struct Reservations {
    by_id: HashMap<String, Reservation>,
    replies: Replies,
}

impl Reservations {
    pub(crate) fn hold(&mut self, hold: Hold) -> Reservation {
        let quantity = hold.places();
        let reservation = Reservation {
            reservation_id: hold.reservation_id.clone(),
            event_id: hold.event_id,
            user_id: hold.user_id,
            status: Status::Hold,
            seat_ids: hold.seat_ids,
            quantity,
            order_id: None,
            payment_intent_id: None,
            reason: None,
        };
        self.by_id.insert(hold.reservation_id, reservation.clone());
        reservation
    }

    pub(crate) fn set_status(&mut self, reservation_id: &str, status: Status) {
        if let Some(reservation) = self.by_id.get_mut(reservation_id) {
            reservation.status = status;
        }
    }

    pub(crate) fn read(&self, reservation_id: &str) -> Result<Reservation, Refusal> {
        self.by_id.get(reservation_id).cloned().ok_or(Refusal::NotFound)
    }

    pub(crate) fn update(
        &mut self,
        reservation_id: &str,
        idempotency_key: &str,
        update: StatusUpdate,
    ) -> Result<Reservation, Refusal> {
        match update.status {
            Status::Hold => {
                return Err(Refusal::InvalidArgument("status: a hold is not a target".to_owned()));
            }
            Status::Confirmed if update.payment_intent_id.as_deref().unwrap_or_default().is_empty() => {
                return Err(Refusal::InvalidArgument("payment_intent_id: CONFIRMED needs it".to_owned()));
            }
            _ => {}
        }
        let asked = (reservation_id.to_owned(), update);
        if let Some(earlier) = self.replies.earlier(idempotency_key, &asked)? {
            return Ok(earlier);
        }
        let (_, update) = &asked;
        let reservation = self.by_id.get_mut(reservation_id).ok_or(Refusal::NotFound)?;
        if reservation.status != Status::Hold {
            return Err(Refusal::NotHeld(reservation.status));
        }
        reservation.status = update.status;
        reservation.payment_intent_id.clone_from(&update.payment_intent_id);
        reservation.reason.clone_from(&update.reason);
        reservation.order_id.clone_from(&update.order_id);
        let reply = reservation.clone();
        self.replies.keep(idempotency_key, asked, reply.clone());
        Ok(reply)
    }
}
