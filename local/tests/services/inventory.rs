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
async fn seats_of_a_released_hold_can_be_held_again() {
    let test = TestServices::with_hold().await;
    let taken = HoldRefused::SeatTaken { seat_id: "A-2".to_owned(), reservation_id: "r1".to_owned() };
    assert_eq!(test.services.create_hold(hold("r2", &["A-3", "A-2"])), Err(taken));

    let reply = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!(reply.status(), ReleaseStatus::Success);
    assert_eq!(reply.released_seats.iter().map(|seat| seat.id.as_str()).collect::<Vec<_>>(), SEATS);
    assert!(reply.released_at.is_some());
    assert_eq!(test.services.seat_state("r1"), Some(SeatState::Available));

    test.services.create_hold(hold("r2", &["A-3", "A-2"])).unwrap();
    let again = ReleaseHoldRequest { idempotency_key: "other".to_owned(), ..release("r1", &SEATS) };
    assert_eq!(test.release(again).await.unwrap().status(), ReleaseStatus::AlreadyReleased);
    assert_eq!(test.services.seat_state("r2"), Some(SeatState::Hold), "r1 cannot release the seats of r2");
    let late = test.commit(commit("r1", &SEATS)).await.unwrap();
    assert_eq!((late.status(), late.error.unwrap().code), (CommitStatus::FailedExpired, 12));
    assert_eq!(test.services.seat_state("r2"), Some(SeatState::Hold), "r1 cannot buy the seats of r2");
}

#[tokio::test]
async fn a_sold_seat_stays_sold() {
    let test = TestServices::with_hold().await;
    let reply = test.commit(commit("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.sold_seats.len()), (CommitStatus::Success, 2));
    assert!(!reply.order_id.is_empty());

    let again = CommitReservationRequest { idempotency_key: "other".to_owned(), ..commit("r1", &SEATS) };
    let again = test.commit(again).await.unwrap();
    assert_eq!((again.status(), again.order_id), (CommitStatus::Success, reply.order_id));

    let released = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((released.status(), released.error.unwrap().code), (ReleaseStatus::Failed, 7));
    assert!(test.services.create_hold(hold("r2", &["A-1"])).is_err());
    assert_eq!(test.services.seats("r1"), SEATS.map(|id| (id.to_owned(), SeatState::Sold)).into());
}

#[tokio::test]
async fn an_unknown_hold_is_not_found() {
    let test = TestServices::start().await;
    assert_eq!(test.release(release("r9", &SEATS)).await.unwrap().status(), ReleaseStatus::NotFound);
    let reply = test.commit(commit("r9", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.error.unwrap().code), (CommitStatus::Unspecified, 5));
    assert_eq!(test.services.seat_state("r9"), None);
    assert_eq!(test.services.seats("r9").len(), 0);
}

#[tokio::test]
async fn a_request_that_does_not_match_the_hold_is_invalid() {
    let test = TestServices::with_hold().await;
    let valid = release("r1", &SEATS);
    let invalid = [
        ReleaseHoldRequest { event_id: String::new(), ..valid.clone() },
        ReleaseHoldRequest { event_id: "other".to_owned(), ..valid.clone() },
        ReleaseHoldRequest { seat_ids: vec!["A-1".to_owned(), "A-3".to_owned()], ..valid.clone() },
        ReleaseHoldRequest { seat_ids: Vec::new(), ..valid.clone() },
        ReleaseHoldRequest { quantity: 3, ..valid.clone() },
        ReleaseHoldRequest { quantity: -1, ..valid.clone() },
    ];
    for request in invalid {
        assert_eq!(test.release(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let invalid = CommitReservationRequest { quantity: 1, ..commit("r1", &SEATS) };
    assert_eq!(test.commit(invalid).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(test.services.seat_state("r1"), Some(SeatState::Hold));

    let reversed = release("r1", &["A-2", "A-1"]);
    assert_eq!(
        test.release(reversed).await.unwrap().status(),
        ReleaseStatus::Success,
        "the order of the seats does not matter"
    );
}

#[tokio::test]
async fn a_quantity_based_hold_is_committed_without_seat_ids() {
    let test = TestServices::start().await;
    test.services.create_hold(Hold { quantity: Some(3), ..hold("r1", &[]) }).unwrap();
    let request = CommitReservationRequest { quantity: 3, ..commit("r1", &[]) };
    assert_eq!(test.commit(request).await.unwrap().status(), CommitStatus::Success);
    let sold = ["#1", "#2", "#3"].map(|id| (id.to_owned(), SeatState::Sold));
    assert_eq!(test.services.seats("r1"), sold.into());
}

#[tokio::test]
async fn a_repeated_idempotency_key_returns_the_earlier_reply_and_rejects_another_request() {
    let test = TestServices::with_hold().await;
    let keyless = ReleaseHoldRequest { idempotency_key: String::new(), ..release("r1", &SEATS) };
    assert_eq!(test.release(keyless).await.unwrap().error.unwrap().code, 10);
    let keyless = CommitReservationRequest { idempotency_key: String::new(), ..commit("r1", &SEATS) };
    assert_eq!(test.commit(keyless).await.unwrap().error.unwrap().code, 10);

    let first = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!(test.release(release("r1", &SEATS)).await.unwrap(), first);
    let other = ReleaseHoldRequest { reason: "CANCELLED".to_owned(), ..release("r1", &SEATS) };
    assert_eq!(test.release(other).await.unwrap().error.unwrap().code, 11);
    let other = CommitReservationRequest { idempotency_key: "r1:RELEASE".to_owned(), ..commit("r1", &SEATS) };
    assert_eq!(test.commit(other).await.unwrap().error.unwrap().code, 11);
}

#[tokio::test]
async fn concurrent_releases_and_commits_never_both_succeed() {
    for _ in 0..10 {
        let test = TestServices::with_hold().await;
        let (released, committed) = tokio::join!(
            join_all((0..5).map(|_| test.release(release("r1", &SEATS)))),
            join_all((0..5).map(|_| test.commit(commit("r1", &SEATS)))),
        );
        let released = released.into_iter().all(|reply| reply.unwrap().status() == ReleaseStatus::Success);
        let committed = committed.into_iter().all(|reply| reply.unwrap().status() == CommitStatus::Success);
        assert!(released != committed);
        let state = if released { SeatState::Available } else { SeatState::Sold };
        assert_eq!(test.services.seat_state("r1"), Some(state));
    }
}

#[tokio::test]
async fn availability_follows_the_state_of_the_seats() {
    let test = TestServices::with_hold().await;
    test.services.create_hold(hold("r2", &["B-1"])).unwrap();
    test.release(release("r2", &["B-1"])).await.unwrap();

    let some = test.check(&["A-1", "B-1", "C-1"], 3).await;
    assert!(!some.available);
    assert_eq!(some.unavailable_seat_ids, ["A-1"]);
    let available: Vec<_> = some.available_seats.iter().map(|seat| seat.id.as_str()).collect();
    assert_eq!(available, ["B-1", "C-1"], "a seat that was never held is available");
    assert!(test.check(&["B-1"], 1).await.available);
    assert!(test.check(&[], 1).await.available);
    assert!(!test.check(&[], 2).await.available);
    let empty = CheckAvailabilityRequest::default();
    let rejected: Result<CheckAvailabilityResponse, _> =
        unary(&test.channel, "CheckAvailability", empty).await;
    assert_eq!(rejected.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_hold_is_created_only_once_and_only_if_it_is_complete() {
    let test = TestServices::with_hold().await;
    let exists = HoldRefused::ReservationExists("r1".to_owned());
    assert_eq!(test.services.create_hold(hold("r1", &["B-1"])), Err(exists));
    assert!(matches!(test.services.create_hold(hold("r2", &[])), Err(HoldRefused::Incomplete(_))));
    assert!(matches!(test.services.create_hold(Hold::default()), Err(HoldRefused::Incomplete(_))));
    assert_eq!(test.services.reservation("r2"), None);
    let other_event = Hold { event_id: "play".to_owned(), ..hold("r3", &["A-1"]) };
    test.services.create_hold(other_event).unwrap();
}

#[tokio::test]
async fn a_call_is_recorded_with_its_request_and_reply() {
    let test = TestServices::with_hold().await;
    test.release(release("r1", &SEATS)).await.unwrap();
    test.commit(commit("r1", &SEATS)).await.unwrap();
    test.commit(CommitReservationRequest { quantity: 9, ..commit("r1", &SEATS) }).await.unwrap_err();
    test.commit(commit("r9", &SEATS)).await.unwrap();
    test.check(&["A-1"], 1).await;

    let calls = test.services.calls_for("r1");
    assert_eq!(calls[0].operation, Operation::ReleaseHold);
    assert_eq!(calls[0].path, "/reservation.v1.InventoryService/ReleaseHold");
    assert_eq!(calls[0].headers["x-trace-id"], "t-1");
    let body = json!({
        "reservation_id": "r1", "event_id": "concert", "seat_ids": SEATS, "quantity": 2,
        "reason": "EXPIRED", "idempotency_key": "r1:RELEASE",
    });
    assert_eq!(calls[0].body, body);
    let all: Vec<_> = test.services.calls().into_iter().map(|call| call.reply).collect();
    let expected = [
        "SUCCESS",
        "FAILED_EXPIRED RESERVATION_EXPIRED",
        "INVALID_ARGUMENT",
        "UNSPECIFIED NOT_FOUND",
        "AVAILABLE",
    ];
    assert_eq!(all, expected);
}
