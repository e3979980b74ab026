//! Contract section 6: the circuit breakers. Each service has its own breaker, with one probe at a time.

use std::time::Duration;

use reservation_worker::call::{self, BreakerOpen};
use reservation_worker::config::Config;
use reservation_worker::services::breaker::Breaker;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker_local::{Effect, Fault, Operation, Service};
use tokio::time::sleep;

use crate::test_app::{BatchRun, TestApp, approved, sqs};

const OPEN: Duration = Duration::from_millis(300);

/// An app whose breakers open after three consecutive failures, for [`OPEN`]. Records run one at a time.
async fn app() -> TestApp {
    TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", "300"), ("WORKER_CONCURRENCY", "1")]).await
}

/// Runs a batch with an approved payment for the reservation `id`, and creates its hold if there is none.
async fn pay(app: &TestApp, id: &str) -> BatchRun {
    if app.services.reservation(id).is_none() {
        app.hold(id);
    }
    app.run(sqs([(id, approved(id))])).await
}

/// The number of calls that a service received.
fn calls(app: &TestApp, service: Service) -> usize {
    app.services.calls().iter().filter(|call| call.operation.service() == service).count()
}

#[tokio::test]
async fn after_the_configured_consecutive_failures_records_are_deferred_without_a_call() {
    for (service, operation, effect) in [
        (Service::ReservationApi, Operation::UpdateStatus, Effect::http(503)),
        (Service::ReservationApi, Operation::UpdateStatus, Effect::http(502)),
        (Service::ReservationApi, Operation::UpdateStatus, Effect::http(504)),
        (Service::ReservationApi, Operation::UpdateStatus, Effect::Reset),
        (Service::Inventory, Operation::CommitReservation, Effect::grpc(14)),
        (Service::Inventory, Operation::CommitReservation, Effect::grpc(4)),
        (Service::Inventory, Operation::CommitReservation, Effect::Hang),
        (Service::Inventory, Operation::CommitReservation, Effect::Reset),
    ] {
        let app = app().await;
        app.services.fault(Fault::any(operation, effect.clone()));

        assert_eq!(pay(&app, "r1").await.outcome("r1"), "retried", "{effect:?}");
        let calls_before = calls(&app, service);
        let run = pay(&app, "r2").await;

        assert_eq!(calls_before, 3, "{effect:?}");
        assert_eq!((run.returned(), run.outcome("r2")), (vec!["r2"], "deferred"), "{effect:?}");
        assert!(run.reason("r2").contains("breaker"), "{}", run.reason("r2"));
        assert_eq!(calls(&app, service), calls_before, "{effect:?}");
    }
}

#[tokio::test]
async fn refused_connections_open_the_breaker_and_it_closes_after_the_service_restarts() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = app().await;
        pay(&app, "r0").await;
        app.services.stop(service).await;
        // The first call may fail on a pooled connection that has been dropped. Such a failure may not count.
        pay(&app, "r1").await;
        assert_eq!(pay(&app, "r2").await.outcome("r2"), "deferred", "{service:?}");
        app.services.restart(service).await.unwrap();

        sleep(OPEN).await;

        assert_eq!(pay(&app, "r2").await.outcome("r2"), "success", "{service:?}");
        assert_eq!(pay(&app, "r3").await.outcome("r3"), "success", "{service:?}");
    }
}

#[tokio::test]
async fn errors_that_do_not_mean_unavailable_do_not_open_the_breaker() {
    for status in [401, 402, 403, 408, 412, 425, 429, 500, 501, 505] {
        let app = app().await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(status)));
        for id in ["r1", "r2", "r3"] {
            assert_eq!(pay(&app, id).await.outcome(id), "retried", "{status}");
        }
        assert_eq!(calls(&app, Service::ReservationApi), 9, "{status}");
    }
    for code in [1, 2, 7, 8, 10, 13, 16] {
        let app = app().await;
        app.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(code)));
        for id in ["r1", "r2", "r3"] {
            assert_eq!(pay(&app, id).await.outcome(id), "retried", "gRPC {code}");
        }
        assert_eq!(calls(&app, Service::Inventory), 9, "gRPC {code}");
    }
}

#[tokio::test]
async fn a_successful_call_resets_the_failure_count() {
    let app = app().await;
    for id in ["r1", "r2", "r3", "r4"] {
        app.services.fault(Fault::on(Operation::UpdateStatus, id, Effect::http(503)).times(2));
        assert_eq!(pay(&app, id).await.outcome(id), "success");
    }
}

#[tokio::test]
async fn one_probe_decides_whether_the_breaker_closes() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", "300")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    sleep(OPEN).await;
    let calls_before = calls(&app, Service::ReservationApi);
    let ids: Vec<_> = (0..20).map(|number| format!("p{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    let batch = || sqs(ids.iter().map(|id| (id.as_str(), approved(id))));

    let run = app.run(batch()).await;
    assert!(ids.iter().all(|id| run.outcome(id) == "deferred" || run.outcome(id) == "retried"));
    assert_eq!(calls(&app, Service::ReservationApi), calls_before + 1, "exactly one probe is sent");
    let second_run = app.run(batch()).await;
    assert!(ids.iter().all(|id| second_run.outcome(id) == "deferred"), "the breaker is open again");

    app.services.clear_faults();
    sleep(OPEN).await;
    assert_eq!(app.run(batch()).await.returned(), [""; 0], "a successful probe closes the breaker");
}

#[tokio::test]
async fn after_a_probe_is_abandoned_at_the_deadline_the_next_call_is_the_probe() {
    let app = app().await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    app.services.clear_faults();
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang).times(1));
    sleep(OPEN).await;
    app.hold("r2");

    let abandoned = app.run_within(sqs([("r2", approved("r2"))]), Duration::from_millis(1_500)).await;
    assert_eq!(abandoned.outcome("r2"), "deferred");
    assert!(abandoned.reason("r2").contains("no time left to finish"), "{}", abandoned.reason("r2"));

    assert_eq!(pay(&app, "r2").await.outcome("r2"), "success");
    assert_eq!(pay(&app, "r3").await.outcome("r3"), "success");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_started_before_the_breaker_opened_does_not_close_it() {
    let variables = [
        ("INVENTORY_GRPC_ADDR", "localhost:1"),
        ("RESERVATION_API_BASE", "http://localhost:1"),
        ("BREAKER_FAILURES", "2"),
        ("BREAKER_OPEN_MS", "300"),
    ];
    let variable =
        |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
    let config = Config::from_lookup(variable).unwrap();
    // The late call ends while the breaker is open (100 ms) or while a probe is in flight (400 ms).
    for late_ms in [100, 400] {
        let breaker = Breaker::new(call::Service::Inventory, config.inventory.breaker, Metrics::default());
        let call = async |ms, is_down: bool| {
            let permit = breaker.admit().await?;
            sleep(Duration::from_millis(ms)).await;
            permit.complete(is_down);
            Ok::<_, BreakerOpen>(())
        };
        let late_call = call(late_ms, false);
        let probe_and_waiting_call = async {
            sleep(OPEN).await;
            tokio::join!(call(200, true), call(0, false))
        };

        let (late, _, _, (probe, waiting)) =
            tokio::join!(late_call, call(0, true), call(0, true), probe_and_waiting_call);

        assert_eq!((late, probe), (Ok(()), Ok(())));
        assert!(waiting.is_err(), "a call that waited for a failed probe is refused");
    }
}

#[tokio::test]
async fn an_open_breaker_of_one_service_does_not_block_the_other_service() {
    let app = app().await;
    app.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    pay(&app, "r1").await;
    let calls_before = calls(&app, Service::ReservationApi);

    let run = pay(&app, "r2").await;

    assert_eq!(run.outcome("r2"), "deferred");
    assert_eq!(calls(&app, Service::ReservationApi), calls_before + 1);
}

#[tokio::test]
async fn zero_failures_or_zero_open_time_disables_the_breaker() {
    for setting in [("BREAKER_FAILURES", "0"), ("BREAKER_OPEN_MS", "0")] {
        let app = TestApp::with(&[setting, ("WORKER_CONCURRENCY", "1")]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
        for number in 0..10 {
            let id = format!("r{number}");
            assert_eq!(pay(&app, &id).await.outcome(&id), "retried", "{setting:?}");
        }
        assert_eq!(calls(&app, Service::ReservationApi), 30, "{setting:?}");
    }
}

#[tokio::test]
async fn a_deferred_record_waits_for_the_rest_of_the_open_time_or_its_back_off_whichever_is_longer() {
    for (open_ms, receives, expected) in [("60000", 1, 58..=72), ("300", 4, 8..=10)] {
        let app = TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", open_ms)]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
        pay(&app, "r1").await;
        app.services.visibility().take();
        app.hold("r2");
        let mut event = sqs([("r2", approved("r2"))]);
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] =
            serde_json::json!(receives.to_string());

        assert_eq!(app.run(event).await.outcome("r2"), "deferred");

        let seconds = app.services.visibility().take()[0].entries[0].visibility_timeout;
        assert!(expected.contains(&seconds), "{seconds} s");
    }
}
