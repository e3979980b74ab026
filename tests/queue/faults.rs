//! Services that stop, and functions that are killed or reach their time-out.

use std::time::Duration;

use futures_util::future::join;
use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::Value;
use tokio::time::sleep;

use crate::fixture::{Fixture, approved};

#[tokio::test]
async fn a_function_that_is_killed_thirty_times_loses_no_event_and_sells_no_seat_twice() {
    // A killed invocation sends no response, so its messages become visible after the default visibility
    // time-out.
    let fixture = Fixture::new(false, 100, Duration::from_secs(2)).await;
    for operation in [Operation::UpdateStatus, Operation::CommitReservation] {
        fixture.services.fault(Fault::any(operation, Effect::latency(30)));
    }
    let running = fixture.mapping(&[("MAX_RETRIES", "100")]).start().await.unwrap();

    let mut ids = Vec::new();
    let mut kills = 0;
    while kills < 30 {
        let more: Vec<_> = (ids.len()..ids.len() + 10).map(|number| format!("r{number}")).collect();
        more.iter().for_each(|id| fixture.hold(id));
        fixture.queue.send(more.iter().map(|id| approved(id))).await.unwrap();
        ids.extend(more);
        sleep(Duration::from_millis(fastrand::u64(10..100))).await;
        kills += usize::from(running.kill_one());
    }
    fixture.drained(&running).await;
    let stats = running.stats();
    running.stop().await;

    // A process that had just responded was not handling a batch when it was killed.
    assert!(stats.crashes > 20, "{stats:?}");
    assert!(ids.iter().all(|id| fixture.assert_completed(id) == Status::Confirmed));
    // A repeated call has the same idempotency key, so it has no further effect.
    for call in fixture.services.calls() {
        if call.operation == Operation::CommitReservation {
            assert_eq!(call.body["idempotency_key"], format!("{}:COMMIT", call.reservation_id));
            assert!(["SUCCESS", "abandoned", "in flight"].contains(&call.reply.as_str()), "{call:?}");
        }
    }
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}

/// The function responds before its deadline even if a service hangs. Only a function that gets no CPU time
/// can reach the time-out, so the test freezes the process.
#[tokio::test]
async fn after_a_time_out_in_the_middle_of_a_batch_the_finished_records_are_delivered_again_without_effect() {
    let fixture = Fixture::new(false, 100, Duration::from_secs(3)).await;
    let variables =
        [("MAX_RETRIES", "100"), ("DEADLINE_RESERVE_MS", "200"), ("RESERVATION_API_TIMEOUT_MS", "60000")];
    let mut mapping = fixture.mapping(&variables);
    mapping.maximum_concurrency = 1;
    mapping.function_timeout = Duration::from_secs(2);
    let running = mapping.start().await.unwrap();

    let (mut ids, mut finished) = (Vec::new(), Vec::new());
    while running.stats().timeouts < 3 {
        let batch: Vec<_> = (ids.len()..ids.len() + 10).map(|number| format!("r{number}")).collect();
        batch.iter().for_each(|id| fixture.hold(id));
        let (hanging, others) = batch.split_last().unwrap();
        fixture.services.fault(Fault::on(Operation::UpdateStatus, hanging, Effect::Hang).times(1));
        fixture.queue.send(batch.iter().map(|id| approved(id))).await.unwrap();
        let sold = |id: &String| fixture.services.seat_state(id) == Some(SeatState::Sold);
        fixture.until(|| others.iter().all(sold) && !fixture.services.calls_for(hanging).is_empty()).await;
        if running.freeze_one() {
            finished.extend(others.iter().cloned());
        }
        fixture.drained(&running).await;
        ids.extend(batch);
    }
    let stats = running.stats();
    running.stop().await;

    let updates = |id: &String| {
        let calls = fixture.services.calls_for(id);
        calls.iter().filter(|call| call.operation == Operation::UpdateStatus).count()
    };
    assert!(
        finished.iter().filter(|id| updates(id) > 1).count() >= 9,
        "finished records were not delivered again"
    );
    assert_eq!((stats.timeouts, stats.crashes), (3, 0), "{stats:?}");
    assert!(ids.iter().all(|id| fixture.assert_completed(id) == Status::Confirmed));
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}

#[tokio::test]
async fn two_restarts_of_both_services_under_load_lose_no_event() {
    let fixture = Fixture::new(false, 5, Duration::from_secs(30)).await;
    let operations = [Operation::UpdateStatus, Operation::CommitReservation];
    operations.into_iter().for_each(|of| fixture.services.fault(Fault::any(of, Effect::latency(100))));
    let variables = [
        ("MAX_RETRIES", "5"),
        // The breakers must be closed when the second restart begins.
        ("BREAKER_OPEN_MS", "500"),
        // A record that no process recalls would have to wait for up to ten minutes.
        ("OUTAGE_BACKOFF_MS", "1000,5000"),
        ("BACKOFF_BASE_MS", "1000"),
        ("BACKOFF_MAX_MS", "900000"),
        ("INVENTORY_TIMEOUT_MS", "5000"), // for a slow machine
        ("LOG_LEVEL", "debug"),
    ];
    let running = fixture.mapping(&variables).start().await.unwrap();

    let load = async {
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.extend(fixture.pay(ids.len()..ids.len() + 20).await);
            sleep(Duration::from_millis(100)).await;
        }
        ids
    };
    let has_call_in_progress = |operation| {
        let calls = fixture.services.calls();
        calls.iter().any(|call| call.operation == operation && call.reply == "in flight")
    };
    let restarts = async {
        let (reservation_api, inventory) = (Service::ReservationApi, Service::Inventory);
        for _ in 0..2 {
            sleep(Duration::from_secs(1)).await;
            // The calls in progress are cut off.
            fixture.until(|| operations.into_iter().all(has_call_in_progress)).await;
            join(fixture.services.stop(reservation_api), fixture.services.stop(inventory)).await;
            sleep(Duration::from_secs(1)).await;
            for service in [reservation_api, inventory] {
                fixture.services.restart(service).await.unwrap();
            }
        }
    };
    let (ids, ()) = join(load, restarts).await;
    fixture.drained(&running).await;
    let log = running.log_lines();
    running.stop().await;

    for service in ["reservation-api", "inventory"] {
        let failed = |line: &Value| line["service"] == service && line["result"] == "unavailable";
        assert!(log.iter().any(failed), "the restarts of the {service} were not noticed");
    }
    assert!(ids.iter().all(|id| fixture.assert_completed(id) == Status::Confirmed));
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}
