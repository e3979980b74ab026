//! Properties that hold for every input. `proptest` generates the inputs, and shrinks an input that violates a
//! property.

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::fuzz::event::FIELDS;

mod backoff;
mod batches;
mod bodies;
mod replies;
mod variables;

/// A JSON value of up to four levels. Three of four member names have a meaning for the worker.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::sample::select(MEANINGFUL_VALUES).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let name = prop::sample::select([&FIELDS[..], RECORD_AND_REPLY_FIELDS].concat());
        let name = prop_oneof![3 => name.prop_map(str::to_owned), 1 => ".{0,20}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Field names of records and replies. The field names of events are those of the fuzz target.
const RECORD_AND_REPLY_FIELDS: &[&str] =
    &["id", "time", "error", "code", "Records", "messageId", "attributes", "eventSource", "eventSourceARN"];

const MEANINGFUL_VALUES: &[&str] = &[
    "reservation.expired",
    "reservation.hold.expired",
    "payment.approved",
    "payment.failed",
    "Payment Status Updated",
    "payment.status_updated",
    "reservation.created",
    "worker.heartbeat",
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
