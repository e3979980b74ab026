//! An expiry and a payment of the same reservation, in different batches.

use reservation_worker_local::{Operation, SeatState, Status};

use crate::stage::{LONG, Stage, approved, expired};

#[tokio::test]
async fn five_hundred_pairs_race_and_no_seat_is_sold_twice_or_released_when_sold() {
    let stage = Stage::new(false, 3, LONG).await;
    let ids: Vec<_> = (0..500).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    let mut bodies: Vec<_> = ids.iter().flat_map(|id| [expired(id), approved(id)]).collect();
    fastrand::shuffle(&mut bodies);

    let running = stage.mapping(&[("MAX_RETRIES", "3")]).start().await.unwrap();
    stage.queue.send(bodies).await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    let mut expired_first = 0;
    for id in &ids {
        let calls = stage.services.calls_for(id);
        let did = |operation, reply: &str| {
            calls.iter().any(|call| call.operation == operation && call.reply == reply)
        };
        match stage.assert_settled(id) {
            Status::Confirmed => assert!(!did(Operation::ReleaseHold, "SUCCESS"), "{id} was released"),
            Status::Expired => {
                expired_first += 1;
                assert!(!did(Operation::CommitReservation, "SUCCESS"), "{id} was sold");
                assert_eq!(stage.services.seat_state(id), Some(SeatState::Available));
            }
            other => panic!("{id} is {other:?}"),
        }
    }
    assert!((1..500).contains(&expired_first), "no race: {expired_first}");
    // Paid but expired: a person must look.
    let dead = stage.queue.dead().await.unwrap();
    assert_eq!(dead.len(), expired_first);
    assert!(dead.iter().all(|(_, body, _)| body.contains("payment.approved")));
}
