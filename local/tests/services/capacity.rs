use std::num::NonZeroUsize;

use reqwest::Method;
use reservation_worker_local::{Capacity, SeatState, Service, Status};
use serde_json::json;

use crate::client::{TestServices, expired, release, until};

const HOUR: Capacity = Capacity { concurrency: NonZeroUsize::MIN, service_time_ms: 3_600_000 };

#[tokio::test]
async fn a_request_takes_its_time_although_its_caller_has_given_up() {
    let test = TestServices::with_hold().await;
    for service in [Service::ReservationApi, Service::Inventory] {
        test.services.limit_capacity(service, Some(HOUR));
    }
    tokio::select! {
        _ = test.update("r1", "k", expired()) => panic!("a reply"),
        _ = test.release(release("r1", &["A-1", "A-2"])) => panic!("a reply"),
        () = until(|| test.services.calls().len() == 2) => {}
    }
    until(|| test.services.calls().iter().all(|call| call.reply == "abandoned")).await;
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Expired, "the update was performed");
    assert_eq!(test.services.seat_state("r1"), Some(SeatState::Available), "the release was performed");
}

#[tokio::test]
async fn the_revision_increases_with_each_change_before_its_reply() {
    let test = TestServices::with_hold().await;
    let first = test.services.revision();
    test.services.set_reservation_status("r1", Status::Hold);
    assert_eq!(test.services.revision(), first + 1);
    for service in [Service::ReservationApi, Service::Inventory] {
        test.services.limit_capacity(service, Some(HOUR));
    }
    let is_changed = || {
        let reservation = test.services.reservation("r1").unwrap();
        reservation.status == Status::Expired && test.services.seat_state("r1") == Some(SeatState::Available)
    };
    let revision = async {
        until(is_changed).await;
        test.services.revision()
    };
    tokio::select! {
        _ = test.update("r1", "k", expired()) => panic!("a reply"),
        _ = test.release(release("r1", &["A-1", "A-2"])) => panic!("a reply"),
        revision = revision => assert_eq!(revision, first + 3),
    }
}

#[tokio::test]
async fn the_capacity_of_one_service_does_not_limit_the_other() {
    let test = TestServices::with_hold().await;
    test.services.limit_capacity(Service::Inventory, Some(HOUR));
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    test.services.limit_capacity(Service::Inventory, None);
    test.release(release("r1", &["A-1", "A-2"])).await.unwrap();
}

#[tokio::test]
async fn the_capacity_can_be_limited_over_http() {
    let test = TestServices::with_hold().await;
    let capacity = json!({"concurrency": 1, "service_time_ms": 3_600_000});
    let limited = test.send(Method::PUT, "/capacity/reservation-api", Some(capacity.clone())).await;
    assert_eq!(limited, (200, json!({"active": {"reservation-api": capacity}})));
    tokio::select! {
        _ = test.update("r1", "k", expired()) => panic!("a reply"),
        () = until(|| test.services.calls().len() == 1) => {}
    }
    assert_eq!(test.send(Method::DELETE, "/capacity/reservation-api", None).await.0, 204);
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    let none = json!({"concurrency": 0, "service_time_ms": 1});
    assert_eq!(test.send(Method::PUT, "/capacity/inventory", Some(none)).await.0, 422);
}
