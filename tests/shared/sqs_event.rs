//! Events of a standard queue, as Lambda passes them to the function.

use serde_json::{Value, json};

/// The event of a standard queue. Each record has a message id and a body; a body that is a string is sent
/// unchanged.
pub fn sqs<'a>(records: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let records: Vec<_> = records.into_iter().map(|(message_id, body)| record(message_id, body)).collect();
    json!({ "Records": records })
}

/// One record as Lambda passes it.
pub fn record(message_id: &str, body: Value) -> Value {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    json!({
        "messageId": message_id,
        "receiptHandle": "AQEB",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000" },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
        "awsRegion": "ap-northeast-2",
    })
}

/// `reservation.expired` for the two seats of a hold.
pub fn expired(reservation_id: &str) -> Value {
    event("reservation.expired", reservation_id, json!({}))
}

/// `payment.approved` for the two seats of a hold.
pub fn approved(reservation_id: &str) -> Value {
    event("payment.approved", reservation_id, json!({ "payment_intent_id": "pay_1", "user_id": "user_1" }))
}

/// An event of this type for the two seats of a hold.
pub fn event(event_type: &str, reservation_id: &str, more: Value) -> Value {
    let mut detail = json!({
        "reservation_id": reservation_id,
        "event_id": "evt_1",
        "seat_ids": [format!("{reservation_id}/A-1"), format!("{reservation_id}/A-2")],
    });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "detail-type": event_type, "source": "reservation-service", "detail": detail })
}
