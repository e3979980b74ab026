//! What ends in the dead-letter queue, and what does not.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker_local::{SeatState, Status};

use crate::stage::{LONG, Stage, approved, expired, failed};

/// Events of all three types, a fifth of them twice, in any order; with poison among them.
#[tokio::test]
async fn a_thousand_mixed_events_end_as_they_say_and_the_poison_among_them_is_dead_after_its_receives() {
    let stage = Stage::new(false, 3, LONG).await;
    let ids: Vec<_> = (0..1_000).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    let of = |number: usize| match number % 3 {
        0 => expired(&ids[number]),
        1 => approved(&ids[number]),
        _ => failed(&ids[number]),
    };
    let poison: BTreeSet<_> = (0..50).map(|number| format!("poison {number}")).collect();
    let mut bodies: Vec<_> = (0..1_000).chain(0..200).map(of).chain(poison.iter().cloned()).collect();
    fastrand::shuffle(&mut bodies);

    let running = stage.mapping(&[("MAX_RETRIES", "3")]).start().await.unwrap();
    stage.queue.send(bodies).await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    for (number, id) in ids.iter().enumerate() {
        let expected = [Status::Expired, Status::Confirmed, Status::Cancelled][number % 3];
        assert_eq!(stage.assert_settled(id), expected);
    }
    let dead = stage.queue.dead().await.unwrap();
    assert_eq!(dead.iter().map(|(_, body, _)| body.clone()).collect::<BTreeSet<_>>(), poison);
    assert_eq!(dead.len(), 50);
    assert!(dead.iter().all(|(_, _, receives)| *receives == 3), "{dead:?}");
}

#[tokio::test]
async fn redriven_messages_are_new_and_done_once() {
    let stage = Stage::new(false, 2, LONG).await;
    let running = stage.mapping(&[("MAX_RETRIES", "2")]).start().await.unwrap();
    // Nobody knows these reservations yet.
    stage.queue.send(["r1", "r2"].map(approved)).await.unwrap();
    stage.drained(&running).await;
    assert_eq!(stage.queue.dead().await.unwrap().len(), 2);

    ["r1", "r2"].into_iter().for_each(|id| stage.hold(id));
    // The DLQ keeps what was just looked at from others for a moment.
    let mut redriven = 0;
    while redriven < 2 {
        redriven += stage.queue.redrive().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.drained(&running).await;
    running.stop().await;

    for id in ["r1", "r2"] {
        assert_eq!(stage.assert_settled(id), Status::Confirmed);
        assert_eq!(stage.services.seat_state(id), Some(SeatState::Sold));
        let commits = stage.services.calls_for(id).iter().filter(|call| call.reply == "SUCCESS").count();
        assert_eq!(commits, 1, "{id}");
    }
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}
