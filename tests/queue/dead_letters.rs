//! Messages that go to the dead-letter queue (DLQ), and messages that do not.

use std::collections::BTreeSet;
use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Status};

use crate::fixture::{Fixture, LONG, approved, expired, failed};

/// 1,000 messages in random order: 750 events of all three types, 200 duplicates or competing events of
/// another type, and 50 poison messages.
#[tokio::test]
async fn a_thousand_mixed_messages_succeed_except_poison_messages_which_go_to_the_dlq() {
    let fixture = Fixture::new(false, 5, LONG).await;
    let ids: Vec<_> = (0..750).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| fixture.hold(id));
    let event = |number: usize| match number % 3 {
        0 => expired(&ids[number]),
        1 => approved(&ids[number]),
        _ => failed(&ids[number]),
    };
    // A second message for the same reservation: the event in another shape, or a competing event. There is
    // no competing event for an approved payment, because the payment could then be rejected and go to the
    // DLQ.
    let second = |number: usize| match number % 6 {
        0 => failed(&ids[number]),
        2 => expired(&ids[number]),
        _ => event(number).replace("detail-type", "type"),
    };
    let poison: BTreeSet<_> = (0..50).map(|number| format!("poison {number}")).collect();
    let mut bodies: Vec<_> = (0..750).map(event).chain((0..200).map(second)).collect();
    bodies.extend(poison.iter().cloned());
    fastrand::shuffle(&mut bodies);

    let running = fixture.mapping(&[("MAX_RETRIES", "5")]).start().await.unwrap();
    fixture.queue.send(bodies).await.unwrap();
    fixture.drained(&running).await;
    running.stop().await;

    for (number, id) in ids.iter().enumerate() {
        let calls = fixture.services.calls_for(id);
        let mut updates = calls.iter().filter(|call| call.operation == Operation::UpdateStatus);
        let decisive = updates.find(|call| call.reply == "200").unwrap();
        let status = fixture.assert_completed(id);
        assert_eq!(decisive.body["status"], serde_json::to_value(status).unwrap(), "{id}");
        if number >= 200 || number % 2 == 1 {
            assert_eq!(status, [Status::Expired, Status::Confirmed, Status::Cancelled][number % 3]);
        }
    }
    let changes = fixture.sqs.visibility_changes();
    let dead = fixture.queue.dead_letters().await.unwrap();
    assert_eq!(dead.iter().map(|(_, body, _)| body.clone()).collect::<BTreeSet<_>>(), poison);
    assert_eq!(dead.len(), 50);
    // A poison message has no back-off before it goes to the DLQ.
    for (id, _, receives) in dead {
        assert_eq!(receives, 5, "{id}");
        let seconds = changes.iter().filter(|(message_id, _)| *message_id == id).map(|(_, seconds)| *seconds);
        assert_eq!(seconds.collect::<Vec<_>>(), [0; 5], "{id}");
    }
}

#[tokio::test]
async fn the_back_off_of_a_failing_event_doubles_and_is_zero_after_the_last_receive() {
    let fixture = Fixture::new(false, 5, LONG).await;
    fixture.hold("r1");
    fixture.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(500)));
    // The default back-off, as in a deployment. Up to 20 % are added at random, and a fraction of a second is
    // rounded up or down at random.
    let variables = [("BACKOFF_BASE_MS", "1000"), ("BACKOFF_MAX_MS", "900000"), ("MAX_RETRIES", "5")];
    let running = fixture.mapping(&variables).start().await.unwrap();
    fixture.queue.send([approved("r1")]).await.unwrap();
    fixture.drained(&running).await;
    running.stop().await;

    let seconds: Vec<_> = fixture.sqs.visibility_changes().iter().map(|(_, seconds)| *seconds).collect();
    let expected = [1..=2, 2..=3, 4..=5, 8..=10, 0..=0];
    assert_eq!(seconds.len(), expected.len(), "{seconds:?}");
    assert!(expected.iter().zip(&seconds).all(|(range, seconds)| range.contains(seconds)), "{seconds:?}");
    let dead = fixture.queue.dead_letters().await.unwrap();
    assert_eq!(dead.iter().map(|(_, _, receives)| *receives).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn the_back_off_of_twenty_five_returned_records_takes_three_calls() {
    let fixture = Fixture::new(false, 2, LONG).await;
    fixture.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(429)));
    // A back-off of 1 ms would be rounded to 0 s.
    let backoff = [("BACKOFF_BASE_MS", "1000"), ("BACKOFF_MAX_MS", "1000")];
    let mut mapping = fixture.mapping(&[("MAX_RETRIES", "2"), backoff[0], backoff[1]]);
    (mapping.batch_size, mapping.window) = (25, Duration::from_secs(5));
    mapping.maximum_concurrency = 1;
    fixture.queue.send((0..25).map(|number| approved(&format!("r{number}")))).await.unwrap();
    let running = mapping.start().await.unwrap();
    fixture.until(|| fixture.sqs.visibility_changes().len() >= 25).await;
    let (calls, changes) = (fixture.sqs.visibility_calls(), fixture.sqs.visibility_changes());
    fixture.drained(&running).await;
    running.stop().await;

    let mut first = calls[..3].to_vec();
    first.sort_unstable();
    assert_eq!(first, [5, 10, 10]);
    assert!(changes[..25].iter().all(|(_, seconds)| (1..=2).contains(seconds)), "{changes:?}");
    assert_eq!(fixture.queue.dead_count().await.unwrap(), 25);
}

#[tokio::test]
async fn redriven_messages_succeed_and_are_processed_once() {
    let fixture = Fixture::new(false, 2, LONG).await;
    let running = fixture.mapping(&[("MAX_RETRIES", "2")]).start().await.unwrap();
    // These reservations do not exist yet.
    fixture.queue.send(["r1", "r2"].map(approved)).await.unwrap();
    fixture.drained(&running).await;
    assert_eq!(fixture.queue.dead_letters().await.unwrap().len(), 2);

    ["r1", "r2"].into_iter().for_each(|id| fixture.hold(id));
    // A message that was just read from the DLQ is invisible for a short time.
    let mut redriven = 0;
    while redriven < 2 {
        redriven += fixture.queue.redrive().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fixture.drained(&running).await;
    running.stop().await;

    for id in ["r1", "r2"] {
        assert_eq!(fixture.assert_completed(id), Status::Confirmed);
        assert_eq!(fixture.services.seat_state(id), Some(SeatState::Sold));
        let commits = fixture.services.calls_for(id).iter().filter(|call| call.reply == "SUCCESS").count();
        assert_eq!(commits, 1, "{id}");
    }
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}
