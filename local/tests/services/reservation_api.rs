use futures_util::future::join_all;
use reqwest::Method;
use reservation_worker_local::{Operation, SeatState, Status};
use serde_json::{Value, json};

use crate::client::{TestServices, confirmed, expired, hold};

#[tokio::test]
async fn a_hold_changes_once_and_later_updates_get_a_conflict_with_the_new_status() {
    let cases = [
        (expired(), "RESERVATION_EXPIRED"),
        (confirmed(), "RESERVATION_ALREADY_CONFIRMED"),
        (json!({"status": "CANCELLED", "reason": "payment_failed"}), "RESERVATION_ALREADY_CANCELLED"),
    ];
    for (target, code) in cases {
        let test = TestServices::with_hold().await;
        assert_eq!(test.update("r1", "first", target.clone()).await, (200, String::new()));
        for (key, later) in [("k1", expired()), ("k2", confirmed()), ("k3", target.clone())] {
            assert_eq!(test.update("r1", key, later).await, (409, code.to_owned()));
        }
        let status = serde_json::to_value(test.services.reservation("r1").unwrap().status).unwrap();
        assert_eq!(status, target["status"]);
        assert_eq!(
            test.services.seat_state("r1"),
            Some(SeatState::Hold),
            "the reservation API does not change seats"
        );
    }
}

#[tokio::test]
async fn the_reply_to_an_update_contains_the_reservation() {
    let test = TestServices::with_hold().await;
    let body = json!({"status": "CONFIRMED", "payment_intent_id": "pi-1", "order_id": "o-1", "new": true});
    let reply: Value = test.patch("r1", "k", body).send().await.unwrap().json().await.unwrap();
    let expected = json!({
        "reservation_id": "r1", "event_id": "concert", "status": "CONFIRMED", "seat_ids": ["A-1", "A-2"],
        "quantity": 2, "order_id": "o-1", "payment_intent_id": "pi-1",
    });
    assert_eq!(reply, expected);
    assert_eq!(test.send(Method::GET, "/internal/reservations/r1", None).await, (200, expected));
}

#[tokio::test]
async fn the_effect_camel_case_renames_the_fields_of_reservations_and_errors() {
    let test = TestServices::with_hold().await;
    let fault = json!({"effect": "camel-case"});
    assert_eq!(test.send(Method::POST, "/faults", Some(fault)).await.0, 201);
    let body = json!({"status": "CONFIRMED", "payment_intent_id": "pi-1", "order_id": "o-1"});
    let reply = test.patch("r1", "k", body).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let expected = json!({
        "reservationId": "r1", "eventId": "concert", "status": "CONFIRMED", "seatIds": ["A-1", "A-2"],
        "quantity": 2, "orderId": "o-1", "paymentIntentId": "pi-1",
    });
    assert_eq!(reply.json::<Value>().await.unwrap(), expected);
    assert_eq!(test.send(Method::GET, "/internal/reservations/r1", None).await, (200, expected));
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Confirmed);

    let refused = test.patch("r1", "k2", expired()).header("X-Trace-Id", "t-1").send().await.unwrap();
    assert_eq!(refused.status(), 409);
    let error = refused.json::<Value>().await.unwrap()["error"].take();
    assert_eq!((&error["code"], &error["traceId"]), (&json!("RESERVATION_ALREADY_CONFIRMED"), &json!("t-1")));
    assert!(error["trace_id"].is_null());
}

#[tokio::test]
async fn an_invalid_update_is_rejected_and_changes_nothing() {
    let test = TestServices::with_hold().await;
    let invalid = [
        json!({"status": "LOST"}),
        json!({"status": "HOLD"}),
        json!({"reason": "none"}),
        json!({"status": "CONFIRMED"}),
        json!({"status": "CONFIRMED", "payment_intent_id": ""}),
    ];
    for body in invalid {
        assert_eq!(test.update("r1", "k", body).await, (400, "INVALID_ARGUMENT".to_owned()));
    }
    let not_json = test.patch("r1", "k", json!(null)).body("{").send().await.unwrap();
    assert_eq!(not_json.status(), 400);
    let calls = test.services.calls();
    assert_eq!(calls.last().unwrap().body, json!("{"));
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Hold);
    assert_eq!(test.update("r1", "k", expired()).await.0, 200, "a rejected request does not use up the key");
}

#[tokio::test]
async fn an_unknown_reservation_is_not_found() {
    let test = TestServices::start().await;
    let not_found = "RESERVATION_NOT_FOUND";
    assert_eq!(test.update("r9", "k", expired()).await, (404, not_found.to_owned()));
    let (status, body) = test.send(Method::GET, "/internal/reservations/r9", None).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!(not_found)));
}

#[tokio::test]
async fn a_repeated_idempotency_key_returns_the_earlier_reply_and_rejects_another_request() {
    let test = TestServices::with_hold().await;
    test.services.create_hold(hold("r2", &["B-1"])).unwrap();
    assert_eq!(test.update("r1", "", expired()).await, (400, "IDEMPOTENCY_REQUIRED".to_owned()));
    let url = format!("{}/internal/reservations/r1", test.services.reservation_api_base());
    let keyless = test.http.patch(url).json(&expired()).send().await.unwrap();
    assert_eq!(keyless.status(), 400);

    let first = test.patch("r1", "k", expired()).send().await.unwrap().text().await.unwrap();
    let again = test.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.text().await.unwrap(), first);

    let conflict = (409, "IDEMPOTENCY_CONFLICT".to_owned());
    assert_eq!(test.update("r1", "k", confirmed()).await, conflict);
    assert_eq!(test.update("r2", "k", expired()).await, conflict);
}

#[tokio::test]
async fn only_one_of_many_concurrent_updates_succeeds() {
    let test = TestServices::with_hold().await;
    let updates = (0..20).map(|n| {
        let (test, key) = (&test, format!("k{n}"));
        async move { test.update("r1", &key, if n % 2 == 0 { expired() } else { confirmed() }).await.0 }
    });
    let replies = join_all(updates).await;
    assert_eq!(replies.iter().filter(|&&status| status == 200).count(), 1);
    assert_eq!(replies.iter().filter(|&&status| status == 409).count(), 19);
}

#[tokio::test]
async fn a_call_is_recorded_with_its_request_and_reply() {
    let test = TestServices::start().await;
    test.services.create_hold(hold("r:1", &["A-1"])).unwrap();
    let error: Value = test
        .patch("r%3A1", "r:1:EXPIRED", json!({"status": "LOST"}))
        .header("X-Trace-Id", "t-1")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(error["error"]["trace_id"], "t-1");
    test.send(Method::GET, "/internal/reservations/r9", None).await;

    let [update, read] = test.services.take_calls().try_into().unwrap();
    assert_eq!(update.operation, Operation::UpdateStatus);
    assert_eq!(
        (update.reservation_id.as_str(), update.path.as_str()),
        ("r:1", "/internal/reservations/r%3A1")
    );
    assert_eq!(update.headers["idempotency-key"], "r:1:EXPIRED");
    assert_eq!(update.headers["x-trace-id"], "t-1");
    assert_eq!(update.body, json!({"status": "LOST"}));
    assert_eq!(update.reply, "400 INVALID_ARGUMENT");
    assert_eq!(read.operation, Operation::ReadReservation);
    assert_eq!((read.body, read.reply.as_str()), (Value::Null, "404 RESERVATION_NOT_FOUND"));
    assert_eq!(test.services.calls(), []);
}
