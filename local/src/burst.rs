//! A burst of events: all types and shapes in random order, with duplicates and with bodies that are not events.

use std::collections::HashMap;

use reservation_worker_local::{Hold, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::yield_now;

/// Bodies that the function must not understand. Each is wrong in another way.
const POISON: [&str; 6] = [
    "nonsense",
    "[]",
    r#"{"type":"reservation.expired","detail":{"reservation_id":"../admin"}}"#,
    r#"{"type":"reservation.expired","detail":{}}"#,
    r#"{"type":"reservation.unknown","detail":{"reservation_id":"rsv_1"}}"#,
    "<script>alert('a body')</script>",
];

/// The size and the content of a burst.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BurstPlan {
    /// The number of events, duplicates included.
    pub(crate) events: usize,
    /// The share of `events` that are duplicates of others.
    pub(crate) duplicates_percent: usize,
    /// The number of bodies that are not events, in addition to `events`.
    pub(crate) poison: usize,
    /// Part of each id. Two bursts with different names have no reservation and no seat in common.
    #[serde(skip)]
    pub(crate) name: String,
}

#[derive(Default)]
pub(crate) struct Burst {
    pub(crate) holds: Vec<Hold>,
    pub(crate) bodies: Vec<String>,
    /// The final status of each reservation, by reservation id.
    pub(crate) expected: HashMap<String, Status>,
}

impl Burst {
    /// Creates the events. It pauses after each of them: a large burst takes seconds, and may be interrupted.
    pub(crate) async fn new(plan: &BurstPlan) -> Self {
        let BurstPlan { events, duplicates_percent, poison, ref name } = *plan;
        let duplicates = events * duplicates_percent / 100;
        let mut burst = Burst::default();
        for number in 0..events - duplicates {
            burst.add(name, number);
            yield_now().await;
        }
        for _ in 0..duplicates {
            burst.bodies.push(burst.bodies[fastrand::usize(..burst.holds.len())].clone());
        }
        burst.bodies.extend((0..poison).map(|number| POISON[number % POISON.len()].to_owned()));
        fastrand::shuffle(&mut burst.bodies);
        burst
    }

    /// Only expired holds, in the shape of EventBridge.
    pub(crate) fn of_expired_holds(events: usize, name: &str) -> Self {
        let mut burst = Burst::default();
        // Type and shape depend on the number: see `event` and `shaped`.
        (0..events).for_each(|index| burst.add(name, index * 24));
        burst
    }

    fn add(&mut self, name: &str, number: usize) {
        let hold = hold(name, number);
        let (body, status) = event(number, &hold);
        self.bodies.push(body.to_string());
        self.expected.insert(hold.reservation_id.clone(), status);
        self.holds.push(hold);
    }
}

/// Every tenth hold is quantity-based.
fn hold(name: &str, number: usize) -> Hold {
    let seats = if number % 10 == 9 { 0 } else { 1 + number % 4 };
    Hold {
        reservation_id: format!("rsv_{name}{number:06}"),
        event_id: format!("evt_{name}{}", number % 3),
        user_id: Some(format!("usr_{number}")),
        seat_ids: (0..seats).map(|seat| format!("S-{number:05}-{seat}")).collect(),
        quantity: (seats == 0).then_some(2),
    }
}

fn event(number: usize, hold: &Hold) -> (Value, Status) {
    let id = format!("{:032x}", fastrand::u128(..));
    let payment = format!("pay_{number}");
    let seats = u32::try_from(hold.seat_ids.len()).unwrap_or(u32::MAX);
    let detail = json!({
        "reservation_id": hold.reservation_id,
        "event_id": hold.event_id,
        "seat_ids": hold.seat_ids,
        "qty": hold.quantity.unwrap_or(seats),
        "payment_intent_id": payment,
    });
    let shaped = |event_type| shaped(number / 6, event_type, &id, &detail);
    let payment_simulator = |status| {
        json!({
            "version": "0", "id": id, "detail-type": "Payment Status Updated", "source": "payment-sim-api",
            "detail": {
                "event_type": "payment.status_updated", "payment_id": payment,
                "reservation_id": hold.reservation_id, "status": status,
            },
        })
    };
    match number % 6 {
        0 => (shaped("reservation.expired"), Status::Expired),
        1 => (shaped("reservation.hold.expired"), Status::Expired),
        2 => (shaped("payment.approved"), Status::Confirmed),
        3 => (shaped("payment.failed"), Status::Cancelled),
        4 => (payment_simulator("PAYMENT_STATUS_COMPLETED"), Status::Confirmed),
        _ => (payment_simulator("PAYMENT_STATUS_FAILED"), Status::Cancelled),
    }
}

/// The event in one of the other four shapes of contract section 2. `number` selects the shape.
fn shaped(number: usize, event_type: &str, id: &str, detail: &Value) -> Value {
    match number % 4 {
        0 => json!({
            "version": "0", "id": id, "detail-type": event_type, "source": "reservation-api", "detail": detail,
        }),
        1 => json!({ "id": id, "type": event_type, "source": "reservation-api", "detail": detail }),
        2 => json!({
            "id": id, "type": event_type, "payload": detail,
            "reservation_id": detail["reservation_id"], "event_id": detail["event_id"],
        }),
        _ => {
            let mut bare = detail.clone();
            bare["type"] = json!(event_type);
            bare
        }
    }
}
