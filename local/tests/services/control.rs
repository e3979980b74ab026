use reqwest::Method;
use reservation_worker_local::SeatState;
use serde_json::{Value, json};

use crate::client::{TestServices, commit, expired, release};

#[tokio::test]
async fn holds_can_be_created_and_seats_can_be_read() {
    let test = TestServices::start().await;
    let body = json!({"reservation_id": "r1", "event_id": "concert", "seat_ids": ["A-1"], "user_id": "u1"});
    let (status, reservation) = test.send(Method::POST, "/holds", Some(body.clone())).await;
    assert_eq!(status, 201);
    assert_eq!((&reservation["status"], &reservation["quantity"]), (&json!("HOLD"), &json!(1)));
    let (status, refused) = test.send(Method::POST, "/holds", Some(body)).await;
    assert_eq!((status, &refused["error"]["message"]), (409, &json!("reservation r1 exists already")));
    let quantity_based = json!({"reservation_id": "r2", "event_id": "concert", "quantity": 2});
    assert_eq!(test.send(Method::POST, "/holds", Some(quantity_based)).await.0, 201);

    test.commit(commit("r1", &["A-1"])).await.unwrap();
    let (_, map) = test.send(Method::GET, "/events/concert/seats", None).await;
    let expected = json!({
        "seats": {"A-1": {"state": "SOLD", "reservation_id": "r1"}},
        "quantity_holds": {"r2": {"state": "HOLD", "quantity": 2}},
    });
    assert_eq!(map, expected);
    assert_eq!(test.services.seat_state("r2"), Some(SeatState::Hold));
}

#[tokio::test]
async fn calls_can_be_read_and_deleted() {
    let test = TestServices::with_hold().await;
    test.update("r1", "k", expired()).await;
    test.release(release("r9", &[])).await.unwrap();
    let (_, all) = test.send(Method::GET, "/calls", None).await;
    let replies: Vec<_> = all.as_array().unwrap().iter().map(|call| &call["reply"]).collect();
    assert_eq!(replies, ["200", "NOT_FOUND"], "requests to the control API are not recorded");
    let (_, one) = test.send(Method::GET, "/calls?reservation_id=r9", None).await;
    assert_eq!(one[0]["operation"], "release-hold");
    assert_eq!(test.send(Method::DELETE, "/calls", None).await.0, 204);
    assert_eq!(test.services.calls(), []);
}

#[tokio::test]
async fn faults_can_be_added_and_removed() {
    let test = TestServices::with_hold().await;
    let fault = json!({"operation": "update-status", "effect": {"http": {"status": 500}}});
    assert_eq!(test.send(Method::POST, "/faults", Some(fault)).await, (204, Value::String(String::new())));
    assert_eq!(test.update("r1", "k", expired()).await.0, 500);
    assert_eq!(test.send(Method::DELETE, "/faults", None).await.0, 204);
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    let unknown = json!({"effect": "explode"});
    assert_eq!(test.send(Method::POST, "/faults", Some(unknown)).await.0, 422);
}
