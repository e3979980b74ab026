//! The facts of an event under their names in `snake_case`. Only the reservation id is always present.

use fastrand::Rng;
use reservation_worker_local::Hold;
use serde_json::{Value, json};

use super::Kind;

/// The facts of an event about a hold.
///
/// Two events about one reservation must lead to equal requests to the inventory. An event therefore lacks the user of
/// the hold only if it also lacks the ticketed event or the seats: then the worker reads all of them.
pub fn of(rng: &mut Rng, kind: Kind, hold: &Hold) -> Value {
    let mut facts = json!({ "reservation_id": hold.reservation_id });
    let (has_event_id, has_seats) = (rng.bool(), rng.bool());
    if has_event_id {
        facts["event_id"] = hold.event_id.clone().into();
    }
    if has_seats {
        add_seats(rng, &mut facts, hold);
    }
    if let Some(user_id) = &hold.user_id
        && (has_event_id && has_seats || rng.bool())
    {
        facts["user_id"] = user_id.clone().into();
    }
    match kind {
        Kind::Approved => facts["payment_intent_id"] = "pay_1".into(),
        Kind::Failed if rng.bool() => {
            facts["error_code"] = "CARD_DECLINED".into();
            facts["error_message"] = "the card was declined".into();
        }
        _ => {}
    }
    facts
}

/// Adds the seats or the number of places. A quantity that disagrees with the seats is ignored.
fn add_seats(rng: &mut Rng, facts: &mut Value, hold: &Hold) {
    let seats = hold.seat_ids.len();
    if seats > 0 || rng.bool() {
        facts["seat_ids"] = json!(hold.seat_ids);
    }
    let quantity = match hold.quantity {
        Some(quantity) => Some(json!(quantity)),
        None => rng.choice([None, Some(json!(seats)), Some(json!(seats + 1))]).unwrap(),
    };
    if let Some(quantity) = quantity {
        facts[rng.choice(["qty", "quantity"]).unwrap()] = quantity;
    }
}
