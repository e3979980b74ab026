use futures_util::future::join_all;
use reservation_worker_local::proto::reservation::v1::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, CommitReservationRequest, CommitStatus,
    ReleaseHoldRequest, ReleaseStatus,
};
use reservation_worker_local::{Hold, HoldRefused, Operation, SeatState};
use serde_json::json;
use tonic::Code;

use crate::client::{TestServices, commit, hold, release, unary};

const SEATS: [&str; 2] = ["A-1", "A-2"];

#[tokio::test]
async fn a_released_hold_frees_its_seats_for_another() {
    let desk = TestServices::with_hold().await;
    let taken = HoldRefused::SeatTaken { seat_id: "A-2".to_owned(), reservation_id: "r1".to_owned() };
    assert_eq!(desk.services.create_hold(hold("r2", &["A-3", "A-2"])), Err(taken));

    let reply = desk.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!(reply.status(), ReleaseStatus::Success);
    assert_eq!(reply.released_seats.iter().map(|seat| seat.id.as_str()).collect::<Vec<_>>(), SEATS);
    assert!(reply.released_at.is_some());
    assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Available));

    desk.services.create_hold(hold("r2", &["A-3", "A-2"])).unwrap();
    let again = ReleaseHoldRequest { idempotency_key: "other".to_owned(), ..release("r1", &SEATS) };
    assert_eq!(desk.release(again).await.unwrap().status(), ReleaseStatus::AlreadyReleased);
    assert_eq!(desk.services.seat_state("r2"), Some(SeatState::Hold), "not r1's to release");
    let late = desk.commit(commit("r1", &SEATS)).await.unwrap();
    assert_eq!((late.status(), late.error.unwrap().code), (CommitStatus::FailedExpired, 12));
    assert_eq!(desk.services.seat_state("r2"), Some(SeatState::Hold), "not r1's to buy");
}

#[tokio::test]
async fn a_sold_seat_stays_sold() {
    let desk = TestServices::with_hold().await;
    let reply = desk.commit(commit("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.sold_seats.len()), (CommitStatus::Success, 2));
    assert!(!reply.order_id.is_empty());

    let again = CommitReservationRequest { idempotency_key: "other".to_owned(), ..commit("r1", &SEATS) };
    let again = desk.commit(again).await.unwrap();
    assert_eq!((again.status(), again.order_id), (CommitStatus::Success, reply.order_id));

    let released = desk.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((released.status(), released.error.unwrap().code), (ReleaseStatus::Failed, 7));
    assert!(desk.services.create_hold(hold("r2", &["A-1"])).is_err());
    assert_eq!(desk.services.seats("r1"), SEATS.map(|id| (id.to_owned(), SeatState::Sold)).into());
}

#[tokio::test]
async fn an_unknown_hold_is_not_found() {
    let desk = TestServices::open().await;
    assert_eq!(desk.release(release("r9", &SEATS)).await.unwrap().status(), ReleaseStatus::NotFound);
    let reply = desk.commit(commit("r9", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.error.unwrap().code), (CommitStatus::Unspecified, 5));
    assert_eq!(desk.services.seat_state("r9"), None);
    assert_eq!(desk.services.seats("r9").len(), 0);
}

#[tokio::test]
async fn a_request_that_does_not_match_the_hold_is_invalid() {
    let desk = TestServices::with_hold().await;
    let good = release("r1", &SEATS);
    let wrong = [
        ReleaseHoldRequest { event_id: String::new(), ..good.clone() },
        ReleaseHoldRequest { event_id: "other".to_owned(), ..good.clone() },
        ReleaseHoldRequest { seat_ids: vec!["A-1".to_owned(), "A-3".to_owned()], ..good.clone() },
        ReleaseHoldRequest { seat_ids: Vec::new(), ..good.clone() },
        ReleaseHoldRequest { quantity: 3, ..good.clone() },
        ReleaseHoldRequest { quantity: -1, ..good.clone() },
    ];
    for request in wrong {
        assert_eq!(desk.release(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let wrong = CommitReservationRequest { quantity: 1, ..commit("r1", &SEATS) };
    assert_eq!(desk.commit(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Hold));

    let turned = release("r1", &["A-2", "A-1"]);
    assert_eq!(desk.release(turned).await.unwrap().status(), ReleaseStatus::Success, "seats are a set");
}

#[tokio::test]
async fn a_hold_by_quantity_has_no_seats_to_name() {
    let desk = TestServices::open().await;
    desk.services.create_hold(Hold { quantity: Some(3), ..hold("r1", &[]) }).unwrap();
    let request = CommitReservationRequest { quantity: 3, ..commit("r1", &[]) };
    assert_eq!(desk.commit(request).await.unwrap().status(), CommitStatus::Success);
    let sold = ["#1", "#2", "#3"].map(|id| (id.to_owned(), SeatState::Sold));
    assert_eq!(desk.services.seats("r1"), sold.into());
}

#[tokio::test]
async fn an_idempotency_key_replays_its_request_and_refuses_another() {
    let desk = TestServices::with_hold().await;
    let keyless = ReleaseHoldRequest { idempotency_key: String::new(), ..release("r1", &SEATS) };
    assert_eq!(desk.release(keyless).await.unwrap().error.unwrap().code, 10);
    let keyless = CommitReservationRequest { idempotency_key: String::new(), ..commit("r1", &SEATS) };
    assert_eq!(desk.commit(keyless).await.unwrap().error.unwrap().code, 10);

    let first = desk.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!(desk.release(release("r1", &SEATS)).await.unwrap(), first);
    let other = ReleaseHoldRequest { reason: "CANCELLED".to_owned(), ..release("r1", &SEATS) };
    assert_eq!(desk.release(other).await.unwrap().error.unwrap().code, 11);
    let other = CommitReservationRequest { idempotency_key: "r1:RELEASE".to_owned(), ..commit("r1", &SEATS) };
    assert_eq!(desk.commit(other).await.unwrap().error.unwrap().code, 11);
}

#[tokio::test]
async fn of_racing_release_and_commit_one_wins() {
    for _ in 0..10 {
        let desk = TestServices::with_hold().await;
        let (released, committed) = tokio::join!(
            join_all((0..5).map(|_| desk.release(release("r1", &SEATS)))),
            join_all((0..5).map(|_| desk.commit(commit("r1", &SEATS)))),
        );
        let released = released.into_iter().all(|reply| reply.unwrap().status() == ReleaseStatus::Success);
        let committed = committed.into_iter().all(|reply| reply.unwrap().status() == CommitStatus::Success);
        assert!(released != committed);
        let state = if released { SeatState::Available } else { SeatState::Sold };
        assert_eq!(desk.services.seat_state("r1"), Some(state));
    }
}

#[tokio::test]
async fn availability_comes_from_the_seat_map() {
    let desk = TestServices::with_hold().await;
    desk.services.create_hold(hold("r2", &["B-1"])).unwrap();
    desk.release(release("r2", &["B-1"])).await.unwrap();

    let some = desk.check(&["A-1", "B-1", "C-1"], 3).await;
    assert!(!some.available);
    assert_eq!(some.unavailable_seat_ids, ["A-1"]);
    let free: Vec<_> = some.available_seats.iter().map(|seat| seat.id.as_str()).collect();
    assert_eq!(free, ["B-1", "C-1"], "a seat nobody ever held is free");
    assert!(desk.check(&["B-1"], 1).await.available);
    assert!(desk.check(&[], 1).await.available);
    assert!(!desk.check(&[], 2).await.available);
    let empty = CheckAvailabilityRequest::default();
    let refused: Result<CheckAvailabilityResponse, _> =
        unary(&desk.channel, "CheckAvailability", empty).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_hold_is_created_once_and_whole() {
    let desk = TestServices::with_hold().await;
    let exists = HoldRefused::ReservationExists("r1".to_owned());
    assert_eq!(desk.services.create_hold(hold("r1", &["B-1"])), Err(exists));
    assert!(matches!(desk.services.create_hold(hold("r2", &[])), Err(HoldRefused::Incomplete(_))));
    assert!(matches!(desk.services.create_hold(Hold::default()), Err(HoldRefused::Incomplete(_))));
    assert_eq!(desk.services.reservation("r2"), None);
    let elsewhere = Hold { event_id: "play".to_owned(), ..hold("r3", &["A-1"]) };
    desk.services.create_hold(elsewhere).unwrap();
}

#[tokio::test]
async fn a_call_is_recorded_as_it_was_sent() {
    let desk = TestServices::with_hold().await;
    desk.release(release("r1", &SEATS)).await.unwrap();
    desk.commit(commit("r1", &SEATS)).await.unwrap();
    desk.commit(CommitReservationRequest { quantity: 9, ..commit("r1", &SEATS) }).await.unwrap_err();
    desk.commit(commit("r9", &SEATS)).await.unwrap();
    desk.check(&["A-1"], 1).await;

    let calls = desk.services.calls_for("r1");
    assert_eq!(calls[0].operation, Operation::ReleaseHold);
    assert_eq!(calls[0].path, "/reservation.v1.InventoryService/ReleaseHold");
    assert_eq!(calls[0].headers["x-trace-id"], "t-1");
    let body = json!({
        "reservation_id": "r1", "event_id": "concert", "seat_ids": SEATS, "quantity": 2,
        "reason": "EXPIRED", "idempotency_key": "r1:RELEASE",
    });
    assert_eq!(calls[0].body, body);
    let all: Vec<_> = desk.services.calls().into_iter().map(|call| call.reply).collect();
    let expected = [
        "SUCCESS",
        "FAILED_EXPIRED RESERVATION_EXPIRED",
        "INVALID_ARGUMENT",
        "UNSPECIFIED NOT_FOUND",
        "AVAILABLE",
    ];
    assert_eq!(all, expected);
}
