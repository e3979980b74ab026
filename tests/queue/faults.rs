//! Services that go away, functions that are killed or run out of time.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, Service, Status};
use tokio::time::sleep;

use crate::stage::{LONG, Stage, approved};

#[tokio::test]
async fn while_the_inventory_is_down_it_sees_single_probes_and_nothing_dies() {
    let stage = Stage::new(false, 5, LONG).await;
    let ids: Vec<_> = (0..200).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    // The real back-off, so that the receives last; one process, so that there is one breaker.
    let variables = [
        ("BACKOFF_BASE_MS", "1000"),
        ("BACKOFF_MAX_MS", "900000"),
        ("BREAKER_FAILURES", "5"),
        ("BREAKER_OPEN_MS", "2000"),
    ];
    let mut mapping = stage.mapping(&variables);
    mapping.maximum_concurrency = 1;
    stage.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));

    let running = mapping.start().await.unwrap();
    stage.queue.send(ids.iter().map(|id| approved(id))).await.unwrap();
    sleep(Duration::from_secs(8)).await;
    let commits = || {
        let calls = stage.services.calls();
        calls.iter().filter(|call| call.operation == Operation::CommitReservation).count()
    };
    let while_down = commits();
    stage.services.clear_faults();
    stage.drained(&running).await;
    let log = running.log_lines();
    running.stop().await;

    // What was in flight when it opened (20 at most, three tries each), and then a probe every 2 s.
    assert!((5..=60 + 5).contains(&while_down), "{while_down} calls while it was down");
    assert!(log.iter().any(|line| line["message"] == "breaker open" && line["service"] == "inventory"));
    assert!(log.iter().any(|line| line["message"] == "breaker closed"));
    assert!(log.iter().any(|line| line["outcome"] == "deferred"));
    assert!(ids.iter().all(|id| stage.assert_settled(id) == Status::Confirmed));
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}

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

    assert!(stats.crashes > 0, "{stats:?}");
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
