//! The state of the reservation API. The status of a reservation changes once, from `HOLD` to another status.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::hold::Hold;
use crate::idempotency::{IdempotencyKeyError, ReplyCache};

/// The status of a reservation (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The seats are held, and nothing else has happened yet.
    Hold,
    /// The payment was approved.
    Confirmed,
    /// The payment failed.
    Cancelled,
    /// The hold ended before a payment.
    Expired,
}

/// A reservation, as the reservation API returns it (contract section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The id of the reservation in both services.
    pub reservation_id: String,
    /// The id of the ticketed event, for example a concert.
    pub event_id: String,
    /// The user who made the reservation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The current status.
    pub status: Status,
    /// The seats; empty for a quantity-based hold.
    pub seat_ids: Vec<String>,
    /// The number of seats.
    pub quantity: u32,
    /// The value from the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The value from the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_intent_id: Option<String>,
    /// The value from the status update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of a status update. Unknown fields are ignored.
#[derive(Clone, PartialEq, Deserialize)]
pub(crate) struct StatusUpdate {
    status: Status,
    payment_intent_id: Option<String>,
    reason: Option<String>,
    error_code: Option<String>,
    order_id: Option<String>,
}

/// The reason why the API returns an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    IdempotencyKey(#[from] IdempotencyKeyError),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("no such reservation")]
    NotFound,
    #[error("the status of the reservation is not HOLD: {0:?}")]
    NotHeld(Status),
}

impl ApiError {
    /// The HTTP status and the `code` in the error body.
    pub(crate) fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::IdempotencyKey(IdempotencyKeyError::Missing) => (400, "IDEMPOTENCY_REQUIRED"),
            Self::IdempotencyKey(IdempotencyKeyError::Conflict) => (409, "IDEMPOTENCY_CONFLICT"),
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
    replies: ReplyCache,
    /// How often a reservation was added or changed.
    revision: usize,
}

impl Reservations {
    pub(crate) fn add_hold(&mut self, hold: Hold) -> Reservation {
        let quantity = hold.seat_count();
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
        self.revision += 1;
        reservation
    }

    pub(crate) fn set_status(&mut self, reservation_id: &str, status: Status) {
        if let Some(reservation) = self.by_id.get_mut(reservation_id) {
            reservation.status = status;
            self.revision += 1;
        }
    }

    /// How often a reservation was added or changed.
    pub(crate) fn revision(&self) -> usize {
        self.revision
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Reservation> {
        self.by_id.values()
    }

    pub(crate) fn read(&self, reservation_id: &str) -> Result<Reservation, ApiError> {
        self.by_id.get(reservation_id).cloned().ok_or(ApiError::NotFound)
    }

    pub(crate) fn update(
        &mut self,
        reservation_id: &str,
        idempotency_key: &str,
        update: StatusUpdate,
    ) -> Result<Reservation, ApiError> {
        match update.status {
            Status::Hold => {
                return Err(ApiError::InvalidArgument("status: HOLD cannot be requested".to_owned()));
            }
            Status::Confirmed if update.payment_intent_id.as_deref().unwrap_or_default().is_empty() => {
                return Err(ApiError::InvalidArgument(
                    "payment_intent_id: required for CONFIRMED".to_owned(),
                ));
            }
            _ => {}
        }
        let request = (reservation_id.to_owned(), update);
        if let Some(earlier) = self.replies.find(idempotency_key, &request)? {
            return Ok(earlier);
        }
        let (_, update) = &request;
        let reservation = self.by_id.get_mut(reservation_id).ok_or(ApiError::NotFound)?;
        if reservation.status != Status::Hold {
            return Err(ApiError::NotHeld(reservation.status));
        }
        reservation.status = update.status;
        reservation.payment_intent_id.clone_from(&update.payment_intent_id);
        reservation.reason.clone_from(&update.reason);
        reservation.order_id.clone_from(&update.order_id);
        self.revision += 1;
        let reply = reservation.clone();
        self.replies.insert(idempotency_key, request, reply.clone());
        Ok(reply)
    }
}
