//! An expiry and a payment of the same reservation in different batches.

use reservation_worker_local::{Operation, SeatState, Status};

use crate::fixture::{Fixture, LONG, approved, expired};

#[tokio::test]
async fn five_hundred_races_between_expiry_and_payment_leave_every_reservation_consistent() {
    let fixture = Fixture::new(false, 3, LONG).await;
    let ids: Vec<_> = (0..500).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| fixture.hold(id));
    let mut bodies: Vec<_> = ids.iter().flat_map(|id| [expired(id), approved(id)]).collect();
    fastrand::shuffle(&mut bodies);

    let running = fixture.mapping(&[("MAX_RETRIES", "3")]).start().await.unwrap();
    fixture.queue.send(bodies).await.unwrap();
    fixture.drained(&running).await;
    running.stop().await;

    let mut expired_first = 0;
    for id in &ids {
        let calls = fixture.services.calls_for(id);
        let did = |operation, reply: &str| {
            calls.iter().any(|call| call.operation == operation && call.reply == reply)
        };
        match fixture.assert_completed(id) {
            Status::Confirmed => assert!(!did(Operation::ReleaseHold, "SUCCESS"), "{id} was released"),
            Status::Expired => {
                expired_first += 1;
                assert!(!did(Operation::CommitReservation, "SUCCESS"), "{id} was sold");
                assert_eq!(fixture.services.seat_state(id), Some(SeatState::Available));
            }
            other => panic!("{id} is {other:?}"),
        }
    }
    assert!((1..500).contains(&expired_first), "the same event always wins: {expired_first}");
    // A payment of an expired reservation is rejected, because a person must refund it.
    let dead = fixture.queue.dead_letters().await.unwrap();
    assert_eq!(dead.len(), expired_first);
    assert!(dead.iter().all(|(_, body, _)| body.contains("payment.approved")));
}
