//! Messages of every type and shape, with the result that each must have (contract sections 2 and 3).

use fastrand::Rng;
use reservation_worker::event::EventType;
use reservation_worker_local::{Hold, SeatState, Status};
use serde_json::{Value, json};
use strum::VariantArray;

#[derive(Debug, Clone)]
pub struct Message {
    pub body: String,
    pub group: String,
    pub kind: Kind,
    pub reservation_id: String,
    /// The message is sent after the failure phase, so its first delivery must succeed.
    pub must_succeed_at_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Expired,
    Approved,
    Failed,
    /// A payment status that needs no work.
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
    let mut reservation_id = hold.reservation_id.clone();
    let body = match kind {
        Kind::Poison => poison(rng),
        Kind::UnknownReservation => {
            reservation_id = format!("unknown-{reservation_id}");
            let hold = Hold { reservation_id: reservation_id.clone(), ..hold.clone() };
            let kind = rng.choice(Kind::WORK).unwrap();
            shape(rng, kind, &hold)
        }
        kind => shape(rng, kind, hold),
    };
    let body = if rng.u8(..10) == 0 { json!(body).to_string() } else { body };
    Message { body, group: hold.reservation_id.clone(), kind, reservation_id, must_succeed_at_once: false }
}

fn poison(rng: &mut Rng) -> String {
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        r#"{"type":"reservation.renamed","reservation_id":"r1"}"#,
        r#"{"type":"reservation.expired","reservation_id":"../r1","event_id":"evt_1","qty":1}"#,
        r#"{"type":"payment.approved","reservation_id":"r1"}"#,
        r#"{"type":"reservation.expired","reservation_id":"r1","qty":0}"#,
    ];
    rng.choice(bodies).unwrap().to_owned()
}

/// An event in one of the five shapes. Payment events can omit the ticketed event and the seats.
fn shape(rng: &mut Rng, kind: Kind, hold: &Hold) -> String {
    let id = format!("evt-{:08x}", rng.u32(..));
    let type_name = match kind {
        Kind::Expired => rng.choice(["reservation.expired", "reservation.hold.expired"]).unwrap(),
        Kind::Approved => "payment.approved",
        Kind::Failed => "payment.failed",
        Kind::NoWork | Kind::Poison | Kind::UnknownReservation => "Payment Status Updated",
    };
    let mut facts = json!({ "reservation_id": hold.reservation_id });
    if kind == Kind::Expired || rng.bool() {
        add(
            &mut facts,
            json!({ "event_id": hold.event_id, "seat_ids": hold.seat_ids, "qty": hold.quantity }),
        );
    }
    if kind == Kind::NoWork || kind != Kind::Expired && rng.u8(..4) == 0 {
        add(
            &mut facts,
            json!({ "payment_id": "pay_1", "event_type": "payment.status_updated", "status": status(rng, kind) }),
        );
        return json!({ "id": id, "detail-type": "Payment Status Updated", "detail": facts }).to_string();
    }
    match kind {
        Kind::Approved => add(&mut facts, json!({ "payment_intent_id": "pay_1", "user_id": hold.user_id })),
        Kind::Failed => add(&mut facts, json!({ "error_code": "CARD_DECLINED" })),
        _ => {}
    }
    let body = match rng.u8(..4) {
        0 => json!({ "id": id, "detail-type": type_name, "source": "simulation", "detail": facts }),
        1 => json!({ "id": id, "type": type_name, "detail": facts }),
        2 => {
            let mut flat = json!({ "id": id, "type": type_name });
            for field in ["reservation_id", "event_id"] {
                if let Some(value) = facts.as_object_mut().unwrap().remove(field) {
                    flat[field] = value;
                }
            }
            flat["payload"] = facts;
            flat
        }
        _ => {
            add(&mut facts, json!({ "id": id, "type": type_name }));
            facts
        }
    };
    body.to_string()
}

fn status(rng: &mut Rng, kind: Kind) -> &'static str {
    let statuses: &[_] = match kind {
        Kind::Approved => &["PAYMENT_STATUS_COMPLETED", "PAYMENT_STATUS_APPROVED"],
        Kind::Failed => &["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_CANCELLED", "PAYMENT_STATUS_EXPIRED"],
        _ => &["PAYMENT_STATUS_PENDING", "PAYMENT_STATUS_PROCESSING", "PAYMENT_STATUS_REFUNDED"],
    };
    rng.choice(statuses).copied().unwrap()
}

fn add(facts: &mut Value, more: Value) {
    let Value::Object(more) = more else { unreachable!("facts are an object") };
    facts.as_object_mut().unwrap().extend(more.into_iter().filter(|(_, value)| !value.is_null()));
}

#[test]
fn every_event_type_that_needs_work_is_sent() {
    for kind in EventType::VARIANTS.iter().map(|event_type| Kind::of(*event_type)) {
        assert!(kind == Kind::NoWork || Kind::WORK.contains(&kind), "{kind:?} is never sent");
    }
}
