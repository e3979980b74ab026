//! Services that go away, functions that are killed or run out of time.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use tokio::time::sleep;

use crate::stage::{LONG, Stage, approved};

#[tokio::test]
async fn a_function_killed_thirty_times_loses_nothing_and_does_nothing_twice() {
    // A killed invocation answers nothing: the queue's own time-out brings its messages back.
    let stage = Stage::new(false, 100, Duration::from_secs(2)).await;
    for operation in [Operation::UpdateStatus, Operation::CommitReservation] {
        stage.services.fault(Fault::any(operation, Effect::latency(30)));
    }
    let running = stage.mapping(&[("MAX_RETRIES", "100")]).start().await.unwrap();

    let mut ids = Vec::new();
    let mut kills = 0;
    while kills < 30 {
        let more: Vec<_> = (ids.len()..ids.len() + 10).map(|number| format!("r{number}")).collect();
        more.iter().for_each(|id| stage.hold(id));
        stage.queue.send(more.iter().map(|id| approved(id))).await.unwrap();
        ids.extend(more);
        sleep(Duration::from_millis(fastrand::u64(10..100))).await;
        kills += usize::from(running.kill_one());
    }
    stage.drained(&running).await;
    let stats = running.stats();
    running.stop().await;

    // One that had just answered took nothing along.
    assert!(stats.crashes > 20, "{stats:?}");
    assert!(ids.iter().all(|id| stage.assert_settled(id) == Status::Confirmed));
    // What came again came under its own key, and was nothing new.
    for call in stage.services.calls() {
        if call.operation == Operation::CommitReservation {
            assert_eq!(call.body["idempotency_key"], format!("{}:COMMIT", call.reservation_id));
            assert!(["SUCCESS", "abandoned", "in flight"].contains(&call.reply.as_str()), "{call:?}");
        }
    }
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}

/// The function answers before its deadline, whatever its services do; only one that gets no CPU misses it.
#[tokio::test]
async fn a_function_that_runs_out_of_time_in_the_middle_of_a_batch_is_killed_and_its_finished_records_come_again()
 {
    let stage = Stage::new(false, 100, Duration::from_secs(3)).await;
    let variables =
        [("MAX_RETRIES", "100"), ("DEADLINE_RESERVE_MS", "200"), ("RESERVATION_API_TIMEOUT_MS", "60000")];
    let mut mapping = stage.mapping(&variables);
    mapping.maximum_concurrency = 1;
    mapping.function_timeout = Duration::from_secs(2);
    let running = mapping.start().await.unwrap();

    let (mut ids, mut finished) = (Vec::new(), Vec::new());
    while running.stats().timeouts < 3 {
        let batch: Vec<_> = (ids.len()..ids.len() + 10).map(|number| format!("r{number}")).collect();
        batch.iter().for_each(|id| stage.hold(id));
        let (hanging, others) = batch.split_last().unwrap();
        stage.services.fault(Fault::on(Operation::UpdateStatus, hanging, Effect::Hang).times(1));
        stage.queue.send(batch.iter().map(|id| approved(id))).await.unwrap();
        let sold = |id: &String| stage.services.seat_state(id) == Some(SeatState::Sold);
        stage.until(|| others.iter().all(sold) && !stage.services.calls_for(hanging).is_empty()).await;
        if running.freeze_one() {
            finished.extend(others.iter().cloned());
        }
        stage.drained(&running).await;
        ids.extend(batch);
    }
    let stats = running.stats();
    running.stop().await;

    let updates = |id: &String| {
        let calls = stage.services.calls_for(id);
        calls.iter().filter(|call| call.operation == Operation::UpdateStatus).count()
    };
    assert!(finished.iter().filter(|id| updates(id) > 1).count() >= 9, "finished records did not come again");
    assert_eq!((stats.timeouts, stats.crashes), (3, 0), "{stats:?}");
    assert!(ids.iter().all(|id| stage.assert_settled(id) == Status::Confirmed));
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}

#[tokio::test]
async fn services_that_stop_and_start_lose_no_event() {
    let stage = Stage::new(false, 100, LONG).await;
    let ids: Vec<_> = (0..100).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    let variables = [("MAX_RETRIES", "100"), ("BREAKER_OPEN_MS", "500")];
    let running = stage.mapping(&variables).start().await.unwrap();

    for (service, half) in [(Service::ReservationApi, &ids[..50]), (Service::Inventory, &ids[50..])] {
        stage.services.stop(service).await;
        stage.queue.send(half.iter().map(|id| approved(id))).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        stage.services.restart(service).await.unwrap();
    }
    stage.drained(&running).await;
    running.stop().await;

    assert!(ids.iter().all(|id| stage.assert_settled(id) == Status::Confirmed));
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}
