//! Contract section 6, the breaker: one a service, one probe at a time.

use std::time::Duration;

use reservation_worker::breaker::{Breaker, Open};
use reservation_worker::config::Config;
use reservation_worker::telemetry::call;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker_local::{Effect, Fault, Operation, Service};
use tokio::time::sleep;

use crate::test_app::{BatchRun, TestApp, approved, sqs};

const OPEN: Duration = Duration::from_millis(300);

/// Opens after three failures, for [`OPEN`].
async fn app() -> TestApp {
    TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", "300"), ("WORKER_CONCURRENCY", "1")]).await
}

async fn pay(app: &TestApp, id: &str) -> BatchRun {
    if app.services.reservation(id).is_none() {
        app.hold(id);
    }
    app.run(sqs([(id, approved(id))])).await
}

fn calls(app: &TestApp, service: Service) -> usize {
    app.services.calls().iter().filter(|call| call.operation.service() == service).count()
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_records_are_deferred_without_a_call() {
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
        let before = calls(&app, service);
        let ran = pay(&app, "r2").await;

        assert_eq!(before, 3, "{effect:?}");
        assert_eq!((ran.returned(), ran.outcome("r2")), (vec!["r2"], "deferred"), "{effect:?}");
        assert!(ran.reason("r2").contains("breaker"), "{}", ran.reason("r2"));
        assert_eq!(calls(&app, service), before, "{effect:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_opens_it_and_the_service_comes_back() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = app().await;
        pay(&app, "r0").await;
        app.services.stop(service).await;
        // The first call on a connection that was dropped may not count.
        pay(&app, "r1").await;
        assert_eq!(pay(&app, "r2").await.outcome("r2"), "deferred", "{service:?}");
        app.services.restart(service).await.unwrap();

        sleep(OPEN).await;

        assert_eq!(pay(&app, "r2").await.outcome("r2"), "success", "{service:?}");
        assert_eq!(pay(&app, "r3").await.outcome("r3"), "success", "{service:?}");
    }
}

#[tokio::test]
async fn a_service_that_refuses_is_there() {
    for status in [401, 403, 408, 412, 425, 429, 500, 501, 505] {
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
async fn any_answer_in_between_starts_the_count_again() {
    let app = app().await;
    for id in ["r1", "r2", "r3", "r4"] {
        app.services.fault(Fault::on(Operation::UpdateStatus, id, Effect::http(503)).times(2));
        assert_eq!(pay(&app, id).await.outcome(id), "success");
    }
}

#[tokio::test]
async fn one_probe_decides_and_the_others_wait() {
    let app = TestApp::with(&[("BREAKER_FAILURES", "3"), ("BREAKER_OPEN_MS", "300")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    sleep(OPEN).await;
    let before = calls(&app, Service::ReservationApi);
    let ids: Vec<_> = (0..20).map(|number| format!("p{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    let batch = || sqs(ids.iter().map(|id| (id.as_str(), approved(id))));

    let ran = app.run(batch()).await;
    assert!(ids.iter().all(|id| ran.outcome(id) == "deferred" || ran.outcome(id) == "retried"));
    assert_eq!(calls(&app, Service::ReservationApi), before + 1, "one probe");
    let again = app.run(batch()).await;
    assert!(ids.iter().all(|id| again.outcome(id) == "deferred"), "open again");

    app.services.clear_faults();
    sleep(OPEN).await;
    assert_eq!(app.run(batch()).await.returned(), [""; 0], "closed by a probe that succeeded");
}

#[tokio::test]
async fn a_probe_that_the_deadline_cuts_off_leaves_its_place_to_the_next() {
    let app = app().await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    app.services.clear_faults();
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang).times(1));
    sleep(OPEN).await;
    app.hold("r2");

    let cut_off = app.run_within(sqs([("r2", approved("r2"))]), Duration::from_millis(1_500)).await;
    assert_eq!(cut_off.outcome("r2"), "deferred");
    assert!(cut_off.reason("r2").contains("no time left to finish"), "{}", cut_off.reason("r2"));

    assert_eq!(pay(&app, "r2").await.outcome("r2"), "success");
    assert_eq!(pay(&app, "r3").await.outcome("r3"), "success");
}

#[tokio::test(start_paused = true)]
async fn a_call_from_before_it_opened_does_not_close_it() {
    let variables = [
        ("INVENTORY_GRPC_ADDR", "localhost:1"),
        ("RESERVATION_API_BASE", "http://localhost:1"),
        ("BREAKER_FAILURES", "2"),
        ("BREAKER_OPEN_MS", "300"),
    ];
    let variable =
        |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, to)| (*to).to_owned());
    let config = Config::from_lookup(variable).unwrap();
    // Its answer comes while the breaker is open, or while a probe is under way.
    for late in [100, 400] {
        let breaker = Breaker::new(call::Service::Inventory, &config, Metrics::new(&config));
        let call = async |ms, is_down: bool| {
            let permit = breaker.admit().await?;
            sleep(Duration::from_millis(ms)).await;
            permit.settle(is_down);
            Ok::<_, Open>(())
        };
        let late = call(late, false);
        let later = async {
            sleep(OPEN).await;
            tokio::join!(call(200, true), call(0, false))
        };

        let (late, _, _, (probe, waited)) = tokio::join!(late, call(0, true), call(0, true), later);

        assert_eq!((late, probe), (Ok(()), Ok(())));
        assert!(waited.is_err(), "the probe has found it down");
    }
}

#[tokio::test]
async fn the_breaker_of_one_service_is_not_the_others() {
    let app = app().await;
    app.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    pay(&app, "r1").await;
    let before = calls(&app, Service::ReservationApi);

    let ran = pay(&app, "r2").await;

    assert_eq!(ran.outcome("r2"), "deferred");
    assert_eq!(calls(&app, Service::ReservationApi), before + 1);
}

#[tokio::test]
async fn zero_is_no_breaker() {
    for off in [("BREAKER_FAILURES", "0"), ("BREAKER_OPEN_MS", "0")] {
        let app = TestApp::with(&[off, ("WORKER_CONCURRENCY", "1")]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
        for number in 0..10 {
            let id = format!("r{number}");
            assert_eq!(pay(&app, &id).await.outcome(&id), "retried", "{off:?}");
        }
        assert_eq!(calls(&app, Service::ReservationApi), 30, "{off:?}");
    }
}

#[tokio::test]
async fn a_deferred_record_waits_for_what_is_left_of_the_breaker_but_at_least_its_own_back_off() {
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
