//! What holds for any input, looked for by `proptest`: it draws inputs, and shrinks one that breaks a rule.

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::fuzz::event::FIELDS;

mod backoff;
mod batches;
mod bodies;
mod replies;
mod variables;

/// A JSON value of up to four levels, whose members have names that mean something as often as not.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let name = prop::sample::select([&FIELDS[..], NAMES].concat());
        let name = prop_oneof![3 => name.prop_map(str::to_owned), 1 => ".{0,20}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Of records and replies; those of events are the fuzz target's.
const NAMES: &[&str] =
    &["id", "time", "error", "code", "Records", "messageId", "attributes", "eventSource", "eventSourceARN"];

const WORDS: &[&str] = &[
    "reservation.expired",
    "reservation.hold.expired",
    "payment.approved",
    "payment.failed",
    "Payment Status Updated",
    "payment.status_updated",
    "PAYMENT_STATUS_COMPLETED",
    "PAYMENT_STATUS_PENDING",
    "r-1",
    "evt_1",
    "A-1",
    "HOLD",
    "CONFIRMED",
    "EXPIRED",
    "RESERVATION_ALREADY_CONFIRMED",
    "RESERVATION_EXPIRED",
];
