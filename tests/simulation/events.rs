//! Messages of every type and shape, with the result that each must have (contract sections 2 and 3).

use std::fmt::{self, Display};

use fastrand::Rng;
use reservation_worker::event::EventType;
use reservation_worker_local::{Hold, SeatState, Status};
use serde_json::json;
use strum::VariantArray;

mod carriers;
mod facts;
mod form;

pub use carriers::{Carrier, Carriers};
pub use form::Form;

#[derive(Debug, Clone)]
pub struct Message {
    pub body: String,
    pub kind: Kind,
    /// How the event is written; `None` if the body is not a valid event.
    pub form: Option<Form>,
    /// The event states nothing but a reservation.
    pub has_only_id: bool,
    pub carriers: Carriers,
    pub group: String,
    /// An event that is about no reservation has an id here that occurs in no other message.
    pub reservation_id: String,
    /// The message is sent after the failure phase, so its first delivery must succeed.
    pub must_succeed_at_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Expired,
    Approved,
    Failed,
    /// An event of a type, or with a payment status, that needs no work.
    NoWork,
    /// A body that is not a valid event.
    Poison,
    /// An event about a reservation that does not exist.
    UnknownReservation,
}

impl Kind {
    /// The kinds of events that need work.
    pub const WORK: [Self; 3] = [Self::Expired, Self::Approved, Self::Failed];

    /// The kind of the events of a type.
    fn of(event_type: EventType) -> Self {
        match event_type {
            EventType::ReservationExpired => Self::Expired,
            EventType::PaymentApproved => Self::Approved,
            EventType::PaymentFailed => Self::Failed,
            EventType::PaymentStatusUpdated
            | EventType::ReservationHoldCreated
            | EventType::ReservationCreated
            | EventType::ReservationConfirmed
            | EventType::WorkerHeartbeat => Self::NoWork,
        }
    }

    /// The status of the reservation and the state of its seats after the event has succeeded.
    pub fn target(self) -> Option<(Status, SeatState)> {
        match self {
            Self::Expired => Some((Status::Expired, SeatState::Available)),
            Self::Approved => Some((Status::Confirmed, SeatState::Sold)),
            Self::Failed => Some((Status::Cancelled, SeatState::Available)),
            Self::NoWork | Self::Poison | Self::UnknownReservation => None,
        }
    }
}

/// A message about a hold.
pub fn message(rng: &mut Rng, kind: Kind, hold: &Hold) -> Message {
    let mut carriers = Carriers::draw(rng);
    let mut hold = hold.clone();
    let group = hold.reservation_id.clone();
    let mut event_kind = kind;
    match kind {
        Kind::Poison => carriers.remove(Carrier::Body),
        Kind::UnknownReservation => {
            hold.reservation_id = format!("unknown-{group}");
            event_kind = rng.choice(Kind::WORK).unwrap();
        }
        Kind::NoWork if rng.u8(..4) == 0 => hold.reservation_id = format!("none-{:08x}", rng.u32(..)),
        _ => {}
    }
    let (form, facts) = (Form::draw(rng, event_kind), facts::of(rng, event_kind, &hold));
    let has_only_id = form.is_some() && facts.as_object().unwrap().len() == 1;
    let body = match form {
        None => poison(rng),
        Some(form) => {
            // A payment status needs a reservation even if it needs no work.
            let needs_facts = !hold.reservation_id.starts_with("none-") || form.is_payment_status();
            let facts = if needs_facts { facts } else { json!({}) };
            form.body(rng, facts, carriers.get(Carrier::Body))
        }
    };
    let body = if rng.u8(..10) == 0 { json!(body).to_string() } else { body };
    let reservation_id = hold.reservation_id;
    Message { body, kind, form, has_only_id, carriers, group, reservation_id, must_succeed_at_once: false }
}

fn poison(rng: &mut Rng) -> String {
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        r#"{"type":"reservation.renamed","reservation_id":"r1"}"#,
        r#"{"type":"reservation.expired","reservation_id":"../r1","event_id":"evt_1","qty":1}"#,
        r#"{"type":"reservation.expired","reservation_id":"r1","reservationId":"r2"}"#,
        r#"{"type":"payment.approved","reservation_id":"r1"}"#,
        r#"{"type":"reservation.expired","reservation_id":"r1","qty":0}"#,
        r#"{"type":"Payment Status Updated","detail":{"event_type":"payment.status_updated"}}"#,
        r#"{"detail-type":"Payment Status Updated","detail":{"event_type":"payment.status_updated",
            "reservation_id":"r1","status":"PAYMENT_STATUS_UNKNOWN"}}"#,
    ];
    rng.choice(bodies).unwrap().to_owned()
}

/// What the trace shows of a message.
impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.reservation_id)?;
        self.form.iter().try_for_each(|form| write!(f, ", {form}"))?;
        f.write_str(if self.has_only_id { ", only an id" } else { "" })?;
        self.carriers.first().iter().try_for_each(|(carrier, _)| write!(f, ", trace from {carrier:?}"))
    }
}

#[test]
fn every_event_type_is_sent() {
    for event_type in EventType::VARIANTS {
        let kind = Kind::of(*event_type);
        assert!(kind == Kind::NoWork || Kind::WORK.contains(&kind), "{kind:?} is never sent");
        let is_sent = Form::of(kind).any(|form| form.event_type() == *event_type);
        assert!(is_sent, "{event_type:?} is never sent as {kind:?}");
    }
}
