use reqwest::Method;
use reservation_worker_local::SeatState;
use serde_json::{Value, json};

use crate::client::{TestServices, commit, expired, release};

#[tokio::test]
async fn a_person_creates_holds_and_sees_the_seats() {
    let desk = TestServices::open().await;
    let body = json!({"reservation_id": "r1", "event_id": "concert", "seat_ids": ["A-1"], "user_id": "u1"});
    let (status, reservation) = desk.send(Method::POST, "/holds", Some(body.clone())).await;
    assert_eq!(status, 201);
    assert_eq!((&reservation["status"], &reservation["quantity"]), (&json!("HOLD"), &json!(1)));
    let (status, refused) = desk.send(Method::POST, "/holds", Some(body)).await;
    assert_eq!((status, &refused["error"]["message"]), (409, &json!("reservation r1 exists already")));
    let standing = json!({"reservation_id": "r2", "event_id": "concert", "quantity": 2});
    assert_eq!(desk.send(Method::POST, "/holds", Some(standing)).await.0, 201);

    desk.commit(commit("r1", &["A-1"])).await.unwrap();
    let (_, map) = desk.send(Method::GET, "/events/concert/seats", None).await;
    let expected = json!({
        "seats": {"A-1": {"state": "SOLD", "reservation_id": "r1"}},
        "quantity_holds": {"r2": {"state": "HOLD", "quantity": 2}},
    });
    assert_eq!(map, expected);
    assert_eq!(desk.services.seat_state("r2"), Some(SeatState::Hold));
}

#[tokio::test]
async fn a_person_reads_and_forgets_the_calls() {
    let desk = TestServices::with_hold().await;
    desk.update("r1", "k", expired()).await;
    desk.release(release("r9", &[])).await.unwrap();
    let (_, all) = desk.send(Method::GET, "/calls", None).await;
    let replies: Vec<_> = all.as_array().unwrap().iter().map(|call| &call["reply"]).collect();
    assert_eq!(replies, ["200", "NOT_FOUND"], "what a person asks is not recorded");
    let (_, one) = desk.send(Method::GET, "/calls?reservation_id=r9", None).await;
    assert_eq!(one[0]["operation"], "release-hold");
    assert_eq!(desk.send(Method::DELETE, "/calls", None).await.0, 204);
    assert_eq!(desk.services.calls(), []);
}

#[tokio::test]
async fn a_person_asks_for_faults() {
    let desk = TestServices::with_hold().await;
    let fault = json!({"operation": "update-status", "effect": {"http": {"status": 500}}});
    assert_eq!(desk.send(Method::POST, "/faults", Some(fault)).await, (204, Value::String(String::new())));
    assert_eq!(desk.update("r1", "k", expired()).await.0, 500);
    assert_eq!(desk.send(Method::DELETE, "/faults", None).await.0, 204);
    assert_eq!(desk.update("r1", "k", expired()).await.0, 200);
    let unknown = json!({"effect": "explode"});
    assert_eq!(desk.send(Method::POST, "/faults", Some(unknown)).await.0, 422);
}
