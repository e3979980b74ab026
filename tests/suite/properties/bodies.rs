//! Bodies: any body is parsed to an event, or to an error that names a field.

use proptest::prelude::*;
use reservation_worker::event::{self, Event, EventType, Hold};
use reservation_worker::reservation::{Id, Seats};
use serde_json::{Value, json};

use super::json;
use crate::fuzz::event::shapes;

/// A marker that replaces the values of a body. No error may contain it.
const PRIVATE: &str = "ZZ-private-ZZ";

fn id() -> impl Strategy<Value = Id> {
    "[A-Za-z0-9][A-Za-z0-9._:-]{0,127}".prop_map(|text| Id::new(&text).unwrap())
}

fn seats() -> impl Strategy<Value = Option<Seats>> {
    let named = prop::collection::vec("[^\\x00]{1,64}", 1..6).prop_map(|ids| Seats::new(ids, None));
    prop_oneof![
        Just(None),
        (1..=10_000_i32).prop_map(|quantity| Seats::new(Vec::new(), Some(quantity))),
        named
    ]
}

pub fn event() -> impl Strategy<Value = Event> {
    let hold = |event_id| {
        (id(), event_id, seats()).prop_map(|(reservation_id, event_id, seats)| Hold {
            reservation_id,
            event_id,
            seats,
        })
    };
    let any_hold = || hold(prop::option::of(id()).boxed());
    let text = || "[^\\x00]{1,40}";
    prop_oneof![
        any_hold().prop_map(Event::ReservationExpired),
        (any_hold(), text(), prop::option::of(text())).prop_map(|(hold, payment_intent_id, user_id)| {
            Event::PaymentApproved { hold, payment_intent_id, user_id }
        }),
        (any_hold(), prop::option::of(text()))
            .prop_map(|(hold, error_code)| Event::PaymentFailed { hold, error_code }),
        no_work(),
    ]
}

/// An event of a type that never needs work. Its seats are not read.
fn no_work() -> impl Strategy<Value = Event> {
    let hold = (id(), prop::option::of(id())).prop_map(|(reservation_id, event_id)| Hold {
        reservation_id,
        event_id,
        seats: None,
    });
    let types = [
        EventType::ReservationHoldCreated,
        EventType::ReservationCreated,
        EventType::ReservationConfirmed,
        EventType::WorkerHeartbeat,
    ];
    (prop::sample::select(types.to_vec()), prop::option::of(hold))
        .prop_map(|(event_type, hold)| Event::NoWork { event_type, hold })
}

proptest! {
    #[test]
    fn an_event_is_unchanged_after_serialisation_and_parsing(event in event()) {
        for body in shapes(&event) {
            let parsed = event::parse(Some(&body)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&parsed.event, &event);
            prop_assert!(!parsed.quantity_disagrees);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_field_and_a_reason(body in any::<String>()) {
        if let Err(error) = event::parse(Some(&body)) {
            let error = error.to_string();
            prop_assert!(error.contains(": "), "no field and reason: {error}");
        }
    }

    #[test]
    fn any_json_is_parsed_or_refused_with_a_field_and_a_reason(body in json()) {
        if let Err(error) = event::parse(Some(&body.to_string())) {
            let error = error.to_string();
            let (path, reason) = error.split_once(": ").unwrap_or_default();
            prop_assert!(!path.is_empty() && !reason.is_empty(), "no field and reason: {error}");
        }
    }

    #[test]
    fn no_error_contains_text_of_the_body(event in event(), wrong in wrong_value()) {
        for shape in shapes(&event) {
            let shape: Value = serde_json::from_str(&shape).unwrap();
            for pointer in pointers(&shape) {
                let mut body = shape.clone();
                *body.pointer_mut(&pointer).unwrap() = wrong.clone();
                let body = body.to_string();
                for body in [Value::from(body.as_str()).to_string(), body] {
                    if let Err(error) = event::parse(Some(&body)) {
                        prop_assert!(!error.to_string().contains(PRIVATE), "{pointer}: {error}");
                    }
                }
            }
        }
    }
}

/// JSON pointers to all members and items inside this value, at any depth. The content of strings is not parsed.
fn pointers(value: &Value) -> Vec<String> {
    let members: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let below = members.into_iter().flat_map(|(name, member)| {
        let name = format!("/{name}");
        [vec![String::new()], pointers(member)]
            .concat()
            .into_iter()
            .map(move |pointer| format!("{name}{pointer}"))
    });
    below.collect()
}

/// The marker in every JSON type that can contain text.
fn wrong_value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(PRIVATE),
        json!([PRIVATE]),
        json!({ PRIVATE: PRIVATE }),
        json!({ "reservation_id": PRIVATE, "seat_ids": [[PRIVATE]] }),
        json!({ "reservation_id": { PRIVATE: 1 } }),
    ])
}
