//! The event parser. A body is either parsed as an event or rejected with an error that names a field. An event
//! that is serialized in any shape is parsed as the same event.

use reservation_worker::event::{self, Event, EventType, Hold, ParseError};
use reservation_worker::reservation::{Id, Seats};
use serde_json::{Map, Value, json};

/// Checks a body of a record.
pub fn check(body: &[u8]) {
    let Ok(body) = std::str::from_utf8(body) else { return };
    let parse = |body: &str| event::parse(Some(body)).map(|parsed| parsed.event);
    let parsed = parse(body);
    match &parsed {
        Ok(event) => {
            check_event(event);
            for shape in shapes(event) {
                assert_eq!(parse(&shape).as_ref(), Ok(event), "{shape}");
            }
        }
        Err(error) => check_error(error),
    }
    if body.trim_ascii_start().starts_with('{') {
        assert_eq!(
            parse(&Value::from(body).to_string()),
            parsed,
            "the same body as a JSON string is parsed differently"
        );
    }
}

/// Checks that the values are valid in a URL path, a header and a log line, and that the workflow has all
/// required values.
fn check_event(event: &Event) {
    let Some(Hold { reservation_id, event_id, seats }) = event.hold() else {
        let event_type = event.event_type();
        assert!(matches!(event, Event::NoWork { .. }) && event_type != EventType::PaymentStatusUpdated);
        return;
    };
    for id in [Some(reservation_id), event_id.as_ref()].into_iter().flatten() {
        let id = id.as_str();
        let allowed = |char: char| char.is_ascii_alphanumeric() || "._:-".contains(char);
        assert!((1..=128).contains(&id.len()) && id.chars().all(allowed), "{id:?}");
        assert!(id.starts_with(|first: char| first.is_ascii_alphanumeric()), "{id:?}");
    }
    if let Some(seats) = seats {
        assert!((1..=10_000).contains(&seats.quantity()), "{seats:?}");
        assert!(seats.ids().iter().all(|id| (1..=64).contains(&id.chars().count())), "{seats:?}");
        assert!(seats.ids().is_empty() || seats.ids().len() == seats.quantity() as usize, "{seats:?}");
    }
    match event {
        Event::PaymentApproved { payment_intent_id, .. } => {
            assert!(!payment_intent_id.is_empty(), "no payment");
        }
        Event::PaymentFailed { .. } | Event::ReservationExpired(_) | Event::NoWork { .. } => {}
    }
}

/// The fields that an error can name.
pub const FIELDS: [&str; 31] = [
    "body",
    "type",
    "detail-type",
    "detail",
    "payload",
    "reservation_id",
    "event_id",
    "seat_ids",
    "qty",
    "quantity",
    "payment_intent_id",
    "payment_id",
    "user_id",
    "error_code",
    "trace_id",
    "event_type",
    "status",
    "error_message",
    "expires_at",
    "time",
    "ts",
    "reservationId",
    "eventId",
    "seatIds",
    "paymentIntentId",
    "paymentId",
    "userId",
    "errorCode",
    "errorMessage",
    "expiresAt",
    "traceId",
];

/// Checks that the path is a field of the contract, and that the reason contains nothing from the body.
fn check_error(error: &ParseError) {
    let error = error.to_string();
    let (path, reason) = error.split_once(": ").unwrap_or_default();
    let field = path.strip_prefix("detail.").or(path.strip_prefix("payload.")).unwrap_or(path);
    let field = match field.split_once('[') {
        Some((list, index)) => {
            assert!(index.strip_suffix(']').is_some_and(|index| index.parse::<u16>().is_ok()), "{error}");
            list
        }
        None => field,
    };
    assert!(FIELDS.contains(&field), "{error}");
    let is_expected = |char: char| char.is_ascii_alphanumeric() || " ,._:-".contains(char);
    assert!((1..100).contains(&reason.len()) && reason.chars().all(is_expected), "{error}");
}

/// The event in all shapes that support it, with its facts in either spelling, each as a JSON object and as a
/// JSON string that contains the object.
pub fn shapes(event: &Event) -> Vec<String> {
    let facts = facts(event);
    let mut shapes = [shapes_with(event, &in_camel_case(&facts)), shapes_with(event, &facts)].concat();
    shapes.extend(shapes.clone().into_iter().map(|shape| Value::from(shape.to_string())));
    shapes.iter().map(Value::to_string).collect()
}

fn shapes_with(event: &Event, facts: &Value) -> Vec<Value> {
    match event.event_type() {
        // Only the payment simulator sends such an event.
        EventType::PaymentStatusUpdated => {
            vec![json!({ "detail-type": "Payment Status Updated", "detail": facts })]
        }
        event_type => {
            let event_type = event_type.as_str();
            let mut bare = facts.clone();
            bare["type"] = json!(event_type);
            vec![
                json!({ "detail-type": event_type, "detail": facts }),
                json!({ "type": event_type, "detail": facts }),
                json!({
                    "type": event_type,
                    "reservation_id": facts["reservation_id"],
                    "reservationId": facts["reservationId"],
                    "event_id": facts["event_id"],
                    "eventId": facts["eventId"],
                    "payload": facts,
                }),
                bare,
            ]
        }
    }
}

/// The same facts, with the names in camelCase. The fields `event_type` and `status` of the payment simulator
/// are not facts.
fn in_camel_case(facts: &Value) -> Value {
    let facts = facts.as_object().into_iter().flatten();
    let renamed = facts.map(|(name, value)| {
        let mut parts = name.split('_');
        let first = parts.next().unwrap_or_default().to_owned();
        let camel = parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..]);
        (if name == "event_type" { name.clone() } else { camel }, value.clone())
    });
    Value::Object(renamed.collect::<Map<_, _>>())
}

/// The facts of an event as JSON.
fn facts(event: &Event) -> Value {
    let Some(Hold { reservation_id, event_id, seats }) = event.hold() else { return json!({}) };
    let mut facts = json!({
        "reservation_id": reservation_id.as_str(),
        "event_id": event_id.as_ref().map(Id::as_str),
        "seat_ids": seats.as_ref().map(Seats::ids),
        "qty": seats.as_ref().map(Seats::quantity),
    });
    match event {
        Event::ReservationExpired(_) => {}
        Event::PaymentApproved { payment_intent_id, user_id, .. } => {
            facts["payment_intent_id"] = json!(payment_intent_id);
            facts["user_id"] = json!(user_id);
        }
        Event::PaymentFailed { error_code, .. } => facts["error_code"] = json!(error_code),
        Event::NoWork { event_type: EventType::PaymentStatusUpdated, .. } => {
            facts["event_type"] = json!("payment.status_updated");
            facts["status"] = json!("PAYMENT_STATUS_PENDING");
        }
        Event::NoWork { .. } => {}
    }
    facts
}
