use std::collections::BTreeSet;

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
    let added = test.send(Method::POST, "/faults", Some(fault.clone())).await;
    assert_eq!(added, (201, json!({"active": [fault]})));
    assert_eq!(test.update("r1", "k", expired()).await.0, 500);
    assert_eq!(test.send(Method::DELETE, "/faults", None).await.0, 204);
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    let unknown = json!({"effect": "explode"});
    assert_eq!(test.send(Method::POST, "/faults", Some(unknown)).await.0, 422);
}

#[tokio::test]
async fn replies_are_formatted_for_a_terminal() {
    let test = TestServices::start().await;
    let url = format!("{}/faults", test.services.reservation_api_base());
    let text = async |request: reqwest::RequestBuilder| request.send().await.unwrap().text().await.unwrap();

    let fault = json!({"effect": "hang"});
    let added = text(test.http.post(&url).json(&fault)).await;
    let refused = text(test.http.post(&url).json(&json!({"effect": "explode"}))).await;
    let removed = text(test.http.delete(&url)).await;

    assert_eq!(added, "{\n  \"active\": [\n    {\n      \"effect\": \"hang\"\n    }\n  ]\n}\n");
    assert!(refused.contains("explode") && refused.ends_with('\n'), "{refused}");
    assert_eq!(removed, "");
}

#[tokio::test]
async fn an_unknown_path_is_named() {
    let test = TestServices::start().await;
    let reply =
        test.http.get(format!("{}/nothing", test.services.reservation_api_base())).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), reply.text().await.unwrap().as_str()),
        (404, "there is no /nothing\n")
    );
}

#[tokio::test]
async fn the_possible_faults_are_listed_and_each_example_can_be_added() {
    let test = TestServices::start().await;

    let (status, listed) = test.send(Method::GET, "/faults", None).await;

    assert_eq!((status, &listed["active"]), (200, &json!([])));
    let operations = listed["operations"].as_array().unwrap();
    let update = json!({"operation": "update-status", "service": "reservation-api", "request": "`PATCH /internal/reservations/{id}`"});
    assert_eq!((operations.len(), &operations[0]), (5, &update));
    let effects = listed["effects"].as_array().unwrap();
    let names: BTreeSet<_> = effects.iter().map(|effect| name(&effect["example"])).collect();
    assert_eq!(names.len(), effects.len(), "one example of each effect: {names:?}");
    for effect in effects {
        assert!(effect["meaning"].as_str().is_some_and(|meaning| meaning.ends_with('.')), "{effect}");
        let operations =
            effect["services"].as_array().unwrap().iter().map(|service| match service.as_str() {
                Some("inventory") => "release-hold",
                _ => "update-status",
            });
        for operation in operations {
            let fault = json!({"operation": operation, "effect": effect["example"]});
            assert_eq!(test.send(Method::POST, "/faults", Some(fault.clone())).await.0, 201, "{fault}");
            let (_, listed) = test.send(Method::GET, "/faults", None).await;
            assert_eq!(listed["active"].as_array().unwrap().last(), Some(&fault));
        }
    }
}

/// The name of an effect, which is a string or an object with one field.
fn name(effect: &Value) -> String {
    let fields = effect.as_object().and_then(|effect| effect.keys().next());
    fields.map_or_else(|| effect.as_str().unwrap().to_owned(), String::clone)
}

#[tokio::test]
async fn a_fault_that_could_never_affect_a_call_is_refused() {
    let test = TestServices::start().await;
    for (fault, reason) in [
        (
            json!({"operation": "release-hold", "effect": {"http": {"status": 503}}}),
            "the effect `http` does not exist in the protocol of the operation `release-hold`",
        ),
        (
            json!({"operation": "update-status", "effect": {"done-then": {"effect": {"grpc": {"code": 14}}}}}),
            "the effect `done-then` does not exist in the protocol of the operation `update-status`",
        ),
        (
            json!({"service": "inventory", "effect": {"http": {"status": 503}}}),
            "the effect `http` does not exist in the protocol of the service `inventory`",
        ),
        (
            json!({"service": "reservation-api", "operation": "release-hold", "effect": "hang"}),
            "the service `reservation-api` does not have the operation `release-hold`",
        ),
        (json!({"times": 0, "effect": "hang"}), "`times` is 0, so the fault would affect no call"),
        (
            json!({"operation": "check-availability", "reservation_id": "r1", "effect": "hang"}),
            "`check-availability` is not called for a reservation, so `reservation_id` would match no call",
        ),
        (
            json!({"effect": {"http": {"status": 99}}}),
            "`status` is 99, but an HTTP status of a reply is 200 to 599",
        ),
        (
            json!({"effect": {"done-then": {"effect": {"grpc": {"code": 17}}}}}),
            "`code` is 17, but a gRPC status code is 0 to 16",
        ),
    ] {
        let (status, error) = test.send(Method::POST, "/faults", Some(fault.clone())).await;
        assert_eq!(status, 422, "{fault}");
        assert!(error.as_str().is_some_and(|error| error.contains(reason)), "{fault}: {error}");
    }
    assert_eq!(test.send(Method::GET, "/faults", None).await.1["active"], json!([]));
}
