use futures_util::future::join_all;
use reqwest::Method;
use reservation_worker_local::{Operation, SeatState, Status};
use serde_json::{Value, json};

use crate::client::{TestServices, confirmed, expired, hold};

#[tokio::test]
async fn a_hold_moves_once_and_every_later_update_is_told_where_it_went() {
    let cases = [
        (expired(), "RESERVATION_EXPIRED"),
        (confirmed(), "RESERVATION_ALREADY_CONFIRMED"),
        (json!({"status": "CANCELLED", "reason": "payment_failed"}), "RESERVATION_ALREADY_CANCELLED"),
    ];
    for (target, code) in cases {
        let desk = TestServices::with_hold().await;
        assert_eq!(desk.update("r1", "first", target.clone()).await, (200, String::new()));
        for (key, later) in [("k1", expired()), ("k2", confirmed()), ("k3", target.clone())] {
            assert_eq!(desk.update("r1", key, later).await, (409, code.to_owned()));
        }
        let status = serde_json::to_value(desk.services.reservation("r1").unwrap().status).unwrap();
        assert_eq!(status, target["status"]);
        assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Hold), "seats are the inventory's");
    }
}

#[tokio::test]
async fn the_reply_is_the_reservation() {
    let desk = TestServices::with_hold().await;
    let body = json!({"status": "CONFIRMED", "payment_intent_id": "pi-1", "order_id": "o-1", "new": true});
    let reply: Value = desk.patch("r1", "k", body).send().await.unwrap().json().await.unwrap();
    let expected = json!({
        "reservation_id": "r1", "event_id": "concert", "status": "CONFIRMED", "seat_ids": ["A-1", "A-2"],
        "quantity": 2, "order_id": "o-1", "payment_intent_id": "pi-1",
    });
    assert_eq!(reply, expected);
    assert_eq!(desk.send(Method::GET, "/internal/reservations/r1", None).await, (200, expected));
}

#[tokio::test]
async fn an_update_that_cannot_be_understood_changes_nothing() {
    let desk = TestServices::with_hold().await;
    let wrong = [
        json!({"status": "LOST"}),
        json!({"status": "HOLD"}),
        json!({"reason": "none"}),
        json!({"status": "CONFIRMED"}),
        json!({"status": "CONFIRMED", "payment_intent_id": ""}),
    ];
    for body in wrong {
        assert_eq!(desk.update("r1", "k", body).await, (400, "INVALID_ARGUMENT".to_owned()));
    }
    let not_json = desk.patch("r1", "k", json!(null)).body("{").send().await.unwrap();
    assert_eq!(not_json.status(), 400);
    let calls = desk.services.calls();
    assert_eq!(calls.last().unwrap().body, json!("{"));
    assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Hold);
    assert_eq!(desk.update("r1", "k", expired()).await.0, 200, "a refusal does not use up the key");
}

#[tokio::test]
async fn an_unknown_reservation_is_not_found() {
    let desk = TestServices::open().await;
    let not_found = "RESERVATION_NOT_FOUND";
    assert_eq!(desk.update("r9", "k", expired()).await, (404, not_found.to_owned()));
    let (status, body) = desk.send(Method::GET, "/internal/reservations/r9", None).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!(not_found)));
}

#[tokio::test]
async fn an_idempotency_key_replays_its_request_and_refuses_another() {
    let desk = TestServices::with_hold().await;
    desk.services.create_hold(hold("r2", &["B-1"])).unwrap();
    assert_eq!(desk.update("r1", "", expired()).await, (400, "IDEMPOTENCY_REQUIRED".to_owned()));
    let url = format!("{}/internal/reservations/r1", desk.services.reservation_api_base());
    let keyless = desk.http.patch(url).json(&expired()).send().await.unwrap();
    assert_eq!(keyless.status(), 400);

    let first = desk.patch("r1", "k", expired()).send().await.unwrap().text().await.unwrap();
    let again = desk.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.text().await.unwrap(), first);

    let conflict = (409, "IDEMPOTENCY_CONFLICT".to_owned());
    assert_eq!(desk.update("r1", "k", confirmed()).await, conflict);
    assert_eq!(desk.update("r2", "k", expired()).await, conflict);
}

#[tokio::test]
async fn of_many_racing_updates_one_wins() {
    let desk = TestServices::with_hold().await;
    let updates = (0..20).map(|n| {
        let (desk, key) = (&desk, format!("k{n}"));
        async move { desk.update("r1", &key, if n % 2 == 0 { expired() } else { confirmed() }).await.0 }
    });
    let replies = join_all(updates).await;
    assert_eq!(replies.iter().filter(|&&status| status == 200).count(), 1);
    assert_eq!(replies.iter().filter(|&&status| status == 409).count(), 19);
}

#[tokio::test]
async fn a_call_is_recorded_as_it_was_sent() {
    let desk = TestServices::open().await;
    desk.services.create_hold(hold("r:1", &["A-1"])).unwrap();
    let error: Value = desk
        .patch("r%3A1", "r:1:EXPIRED", json!({"status": "LOST"}))
        .header("X-Trace-Id", "t-1")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(error["error"]["trace_id"], "t-1");
    desk.send(Method::GET, "/internal/reservations/r9", None).await;

    let [update, read] = desk.services.take_calls().try_into().unwrap();
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
    assert_eq!(desk.services.calls(), []);
}
