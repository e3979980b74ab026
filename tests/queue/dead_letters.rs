//! What ends in the dead-letter queue, and what does not.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Status};

use crate::stage::{LONG, Stage, approved, expired, failed};

/// A thousand events of all three types in any order, a fifth of them duplicates or rivals of another type,
/// one in twenty poison.
#[tokio::test]
async fn a_thousand_mixed_events_end_as_they_say_and_the_poison_among_them_is_dead_after_its_receives() {
    let stage = Stage::new(false, 5, LONG).await;
    let ids: Vec<_> = (0..750).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    let of = |number: usize| match number % 3 {
        0 => expired(&ids[number]),
        1 => approved(&ids[number]),
        _ => failed(&ids[number]),
    };
    // Once more: in another shape, or as a rival that no payment is lost to.
    let again = |number: usize| match number % 6 {
        0 => failed(&ids[number]),
        2 => expired(&ids[number]),
        _ => of(number).replace("detail-type", "type"),
    };
    let poison: BTreeSet<_> = (0..50).map(|number| format!("poison {number}")).collect();
    let mut bodies: Vec<_> = (0..750).map(of).chain((0..200).map(again)).collect();
    bodies.extend(poison.iter().cloned());
    fastrand::shuffle(&mut bodies);

    let running = stage.mapping(&[("MAX_RETRIES", "5")]).start().await.unwrap();
    stage.queue.send(bodies).await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    for (number, id) in ids.iter().enumerate() {
        let calls = stage.services.calls_for(id);
        let mut updates = calls.iter().filter(|call| call.operation == Operation::UpdateStatus);
        let decisive = updates.find(|call| call.reply == "200").unwrap();
        let status = stage.assert_settled(id);
        assert_eq!(decisive.body["status"], serde_json::to_value(status).unwrap(), "{id}");
        if number >= 200 || number % 2 == 1 {
            assert_eq!(status, [Status::Expired, Status::Confirmed, Status::Cancelled][number % 3]);
        }
    }
    let changes = stage.sqs.visibility_changes();
    let dead = stage.queue.dead().await.unwrap();
    assert_eq!(dead.iter().map(|(_, body, _)| body.clone()).collect::<BTreeSet<_>>(), poison);
    assert_eq!(dead.len(), 50);
    // Nothing but receives lay between the poison and the DLQ: it was never kept back.
    for (id, _, receives) in dead {
        assert_eq!(receives, 5, "{id}");
        let asked = changes.iter().filter(|(message_id, _)| *message_id == id).map(|(_, seconds)| *seconds);
        assert_eq!(asked.collect::<Vec<_>>(), [0; 5], "{id}");
    }
}

#[tokio::test]
async fn an_event_that_always_fails_is_kept_back_longer_each_time_and_not_at_all_after_its_last_receive() {
    let stage = Stage::new(false, 5, LONG).await;
    stage.hold("r1");
    stage.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(500)));
    // The back-off that is deployed.
    let variables = [("BACKOFF_BASE_MS", "1000"), ("BACKOFF_MAX_MS", "900000"), ("MAX_RETRIES", "5")];
    let running = stage.mapping(&variables).start().await.unwrap();
    stage.queue.send([approved("r1")]).await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    let seconds: Vec<_> = stage.sqs.visibility_changes().iter().map(|(_, seconds)| *seconds).collect();
    let expected = [1..=1, 2..=2, 4..=5, 8..=10, 0..=0];
    assert_eq!(seconds.len(), expected.len(), "{seconds:?}");
    assert!(expected.iter().zip(&seconds).all(|(range, seconds)| range.contains(seconds)), "{seconds:?}");
    let dead = stage.queue.dead().await.unwrap();
    assert_eq!(dead.iter().map(|(_, _, receives)| *receives).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn twenty_five_returned_records_are_kept_back_by_three_calls() {
    let stage = Stage::new(false, 2, LONG).await;
    stage.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(429)));
    let mut mapping = stage.mapping(&[("MAX_RETRIES", "2")]);
    (mapping.batch_size, mapping.window) = (25, Duration::from_secs(5));
    mapping.maximum_concurrency = 1;
    stage.queue.send((0..25).map(|number| approved(&format!("r{number}")))).await.unwrap();
    let running = mapping.start().await.unwrap();
    stage.until(|| stage.sqs.visibility_changes().len() >= 25).await;
    let (calls, changes) = (stage.sqs.visibility_calls(), stage.sqs.visibility_changes());
    stage.drained(&running).await;
    running.stop().await;

    let mut first = calls[..3].to_vec();
    first.sort_unstable();
    assert_eq!(first, [5, 10, 10]);
    assert!(changes[..25].iter().all(|(_, seconds)| *seconds == 1), "{changes:?}");
    assert_eq!(stage.queue.dead_count().await.unwrap(), 25);
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
