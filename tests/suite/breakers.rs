//! Contract section 6: the breakers. Each service has its own breaker. Records wait while it is open, and one probe at
//! a time decides whether it closes.

use std::time::Duration;

use reservation_worker::call::{self, NotCalled, NotCalledCause};
use reservation_worker::config::Config;
use reservation_worker::reason::Reason;
use reservation_worker::services::breaker::{Breaker, BreakerSettings, ServiceHealth};
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Effect, Fault, Operation, Service};
use serde_json::json;
use sqs_batch::Deadline;
use tokio::time::{Instant, sleep};

use crate::test_app::{BatchRun, TestApp, approved, sqs};

const OPEN: Duration = Duration::from_millis(300);
/// `DEADLINE_RESERVE_MS`. Half of it is for the changes of visibility time-outs.
const RESERVE: Duration = Duration::from_millis(2_000);
/// The time-out of a call.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The time of an invocation in which a record waits for 300 ms.
const SHORT: Duration = Duration::from_millis(2_300);

/// An app whose breakers open after three consecutive failures, for [`OPEN`]. Records run one at a time.
async fn app() -> TestApp {
    app_with(&[("BREAKER_OPEN_MS", "300"), ("WORKER_CONCURRENCY", "1")]).await
}

async fn app_with(variables: &[(&str, &str)]) -> TestApp {
    let reserve = RESERVE.as_millis().to_string();
    let breaker = [("BREAKER_FAILURES", "3"), ("DEADLINE_RESERVE_MS", &reserve)];
    TestApp::with(&[&breaker[..], variables].concat()).await
}

/// Runs a batch with an approved payment for the reservation `id`, and creates its hold if there is none.
async fn pay(app: &TestApp, id: &str) -> BatchRun {
    pay_within(app, id, 1, Duration::from_secs(900)).await
}

/// Runs such a batch on this receive of the message, in an invocation that Lambda ends after `time`.
async fn pay_within(app: &TestApp, id: &str, receives: u32, time: Duration) -> BatchRun {
    if app.services.reservation(id).is_none() {
        app.hold(id);
    }
    let mut event = sqs([(id, approved(id))]);
    event["Records"][0]["receiptHandle"] = json!(id);
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
    app.run_within(event, time).await
}

/// The number of calls that a service received.
fn calls(app: &TestApp, service: Service) -> usize {
    app.services.calls().iter().filter(|call| call.operation.service() == service).count()
}

#[tokio::test]
async fn after_the_configured_consecutive_failures_records_wait_without_a_call() {
    let update = (Service::ReservationApi, Operation::UpdateStatus);
    let commit = (Service::Inventory, Operation::CommitReservation);
    let html =
        Effect::HttpBody { status: 404, content_type: "text/html".to_owned(), body: "<html>".to_owned() };
    for ((service, operation), effect, reason_code) in [
        (update, Effect::http(502), "reservation_api_unavailable"),
        (update, Effect::http(503), "reservation_api_unavailable"),
        (update, Effect::http(504), "reservation_api_unavailable"),
        (update, Effect::Reset, "reservation_api_unavailable"),
        (update, Effect::http(401), "reservation_api_denied"),
        (update, Effect::http(403), "reservation_api_denied"),
        (update, Effect::http(302), "reservation_api_wrong_address"),
        (update, html, "reservation_api_wrong_address"),
        (commit, Effect::grpc(4), "inventory_unavailable"),
        (commit, Effect::grpc(14), "inventory_unavailable"),
        (commit, Effect::Hang, "inventory_unavailable"),
        (commit, Effect::Reset, "inventory_unavailable"),
        (commit, Effect::grpc(7), "inventory_denied"),
        (commit, Effect::grpc(16), "inventory_denied"),
        (commit, Effect::grpc(12), "inventory_wrong_address"),
    ] {
        let time_out: &[_] =
            if matches!(effect, Effect::Hang) { &[("INVENTORY_TIMEOUT_MS", "250")] } else { &[] };
        let app = app_with(&[&[("BREAKER_OPEN_MS", "60000")], time_out].concat()).await;
        app.services.fault(Fault::any(operation, effect.clone()));
        for id in ["r1", "r2", "r3"] {
            if calls(&app, service) < 3 {
                assert_eq!(pay(&app, id).await.outcome(id), "retried", "{effect:?}");
            }
        }
        assert_eq!(calls(&app, service), 3, "{effect:?}");
        app.services.visibility().take();

        let run = pay_within(&app, "waits", 2, SHORT).await;

        assert_eq!((run.returned(), run.outcome("waits")), (vec!["waits"], "deferred"), "{effect:?}");
        assert_eq!(run.line("waits")["reason_code"], reason_code, "{effect:?}");
        assert!(run.reason("waits").contains("breaker"), "{}", run.reason("waits"));
        assert_eq!(calls(&app, service), 3, "{effect:?}: the record waits without a call");
        let seconds = app.services.visibility().take()[0].entries[0].visibility_timeout;
        assert!((30..=36).contains(&seconds), "{effect:?}: {seconds} s of the outage back-off");
    }
}

#[tokio::test]
async fn waiting_records_succeed_in_the_same_invocation_when_the_service_has_recovered() {
    let app = app_with(&[("BREAKER_OPEN_MS", "300")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)).times(3));
    assert_eq!(pay(&app, "r1").await.outcome("r1"), "retried");
    let ids: Vec<_> = (0..20).map(|number| format!("p{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));

    let run = app.run(sqs(ids.iter().map(|id| (id.as_str(), approved(id))))).await;

    assert_eq!(run.returned(), [""; 0]);
}

#[tokio::test]
async fn records_that_are_not_started_while_a_breaker_is_open_wait_for_the_end_of_the_outage_too() {
    let app = app_with(&[("BREAKER_OPEN_MS", "60000"), ("WORKER_CONCURRENCY", "1")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    app.services.visibility().take();
    let ids = ["a", "b", "c"];
    ids.iter().for_each(|id| app.hold(id));
    let mut event = sqs(ids.map(|id| (id, approved(id))));
    for record in event["Records"].as_array_mut().unwrap() {
        record["attributes"]["ApproximateReceiveCount"] = json!("3");
    }

    let run = app.run_within(event, SHORT).await;

    for id in ids {
        assert_eq!(run.outcome(id), "deferred");
        assert_eq!(run.line(id)["reason_code"], "reservation_api_unavailable");
    }
    for entry in &app.services.visibility().take()[0].entries {
        assert!((600..=720).contains(&entry.visibility_timeout), "{} s", entry.visibility_timeout);
    }
}

#[tokio::test]
async fn the_outage_back_off_depends_on_the_receive_count() {
    let app = app_with(&[("BREAKER_FAILURES", "0")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    for (receives, expected) in [(1, 1..=2), (2, 30..=36), (3, 600..=720), (4, 600..=720), (5, 0..=0)] {
        assert_eq!(pay_within(&app, "r1", receives, Duration::from_secs(60)).await.outcome("r1"), "retried");
        let seconds = app.services.visibility().take()[0].entries[0].visibility_timeout;
        assert!(expected.contains(&seconds), "receive {receives}: {seconds} s");
    }
}

#[tokio::test]
async fn refused_connections_open_the_breaker_and_it_closes_after_the_service_restarts() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = app().await;
        pay(&app, "r0").await;
        app.services.stop(service).await;
        pay_within(&app, "r1", 1, SHORT).await;
        let waiting = pay_within(&app, "r2", 1, SHORT).await;
        assert!(["deferred", "retried"].contains(&waiting.outcome("r2")), "{service:?}");
        app.services.restart(service).await.unwrap();

        assert_eq!(pay(&app, "r2").await.outcome("r2"), "success", "{service:?}");
        assert_eq!(pay(&app, "r3").await.outcome("r3"), "success", "{service:?}");
    }
}

#[tokio::test]
async fn transient_errors_do_not_open_the_breaker() {
    for status in [402, 408, 412, 425, 429, 500, 501, 505] {
        let app = app().await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(status)));
        for id in ["r1", "r2", "r3"] {
            assert_eq!(pay(&app, id).await.outcome(id), "retried", "{status}");
        }
        assert_eq!(calls(&app, Service::ReservationApi), 9, "{status}");
    }
    for code in [1, 2, 8, 10, 13] {
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
async fn one_probe_at_a_time_decides_whether_the_breaker_closes() {
    let app = app_with(&[("BREAKER_OPEN_MS", "300")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    pay(&app, "r1").await;
    let calls_before = calls(&app, Service::ReservationApi);
    let ids: Vec<_> = (0..20).map(|number| format!("p{number}")).collect();
    ids.iter().for_each(|id| app.hold(id));
    let batch = || sqs(ids.iter().map(|id| (id.as_str(), approved(id))));

    let run = app.run_within(batch(), RESERVE + Duration::from_millis(900)).await;

    let outcomes: Vec<_> = ids.iter().map(|id| run.outcome(id)).collect();
    assert!(outcomes.iter().all(|outcome| ["deferred", "retried"].contains(outcome)), "{outcomes:?}");
    let probes = calls(&app, Service::ReservationApi) - calls_before;
    assert!((1..=3).contains(&probes), "{probes} probes in 900 ms, one per 300 ms");

    app.services.clear_faults();
    assert_eq!(app.run(batch()).await.returned(), [""; 0], "a successful probe closes the breaker");
}

#[tokio::test]
async fn after_a_probe_is_abandoned_at_the_deadline_a_later_call_is_the_probe() {
    let app = app_with(&[("BREAKER_OPEN_MS", "300"), ("WORKER_CONCURRENCY", "1")]).await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)).times(3));
    pay(&app, "r1").await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::Hang).times(1));
    sleep(OPEN).await;

    let abandoned = pay_within(&app, "r2", 1, SHORT).await;
    assert_eq!(abandoned.outcome("r2"), "deferred");
    assert_eq!(abandoned.line("r2")["reason_code"], "reservation_api_unavailable");

    assert_eq!(pay(&app, "r2").await.outcome("r2"), "success");
    assert_eq!(pay(&app, "r3").await.outcome("r3"), "success");
}

#[tokio::test]
async fn after_the_breaker_closed_the_records_that_wait_for_this_service_are_recalled() {
    let app = app().await;
    for (operation, effect, ids) in [
        (Operation::UpdateStatus, Effect::http(503), ["a1", "a2", "a3"]),
        (Operation::CommitReservation, Effect::grpc(14), ["b1", "b2", "b3"]),
    ] {
        app.services.fault(Fault::any(operation, effect));
        for id in ids {
            let run = pay_within(&app, id, 3, SHORT).await;
            assert_eq!(run.returned(), [id]);
        }
        app.services.clear_faults();
        sleep(OPEN).await;
    }
    app.services.visibility().take();

    // So far only the status updates of the second outage have shown that the reservation API works again.
    app.recall().await;
    assert_eq!(recalled(&app), ["a1", "a2", "a3"]);

    assert_eq!(pay(&app, "probe").await.outcome("probe"), "success");
    app.recall().await;
    assert_eq!(recalled(&app), ["b1", "b2", "b3"]);

    app.recall().await;
    assert_eq!(recalled(&app), [""; 0], "each record is recalled once");
}

#[tokio::test]
async fn a_recall_that_the_queue_does_not_answer_is_repeated_after_the_next_response() {
    let app = app().await;
    app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
    assert_eq!(pay_within(&app, "r1", 3, SHORT).await.returned(), ["r1"]);
    app.services.clear_faults();
    sleep(OPEN).await;
    assert_eq!(pay(&app, "probe").await.outcome("probe"), "success");

    app.services.visibility().set_behaviour(VisibilityBehaviour::Hang);
    app.recall().await;
    app.services.visibility().set_behaviour(VisibilityBehaviour::Normal);
    app.services.visibility().take();

    app.recall().await;
    assert_eq!(recalled(&app), ["r1"]);
    app.recall().await;
    assert_eq!(recalled(&app), [""; 0]);
}

/// The receipt handles whose time-outs were changed, all of them to at most 30 s.
fn recalled(app: &TestApp) -> Vec<String> {
    let entries = app.services.visibility().take().into_iter().flat_map(|change| change.entries);
    let mut handles: Vec<_> = entries
        .map(|entry| {
            assert!((0..=30).contains(&entry.visibility_timeout), "{} s", entry.visibility_timeout);
            entry.receipt_handle
        })
        .collect();
    handles.sort();
    handles
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_call_waits_at_most_30_s_for_an_open_breaker() {
    let settings = BreakerSettings { failures: 1, open_for: Duration::from_secs(3_600) };
    let breaker = Breaker::new(call::Service::Inventory, settings, TIMEOUT, Metrics::default());
    breaker.admit(Deadline::NONE).await.unwrap().complete(ServiceHealth::Outage(Reason::InventoryDenied));
    let began = Instant::now();

    let open = breaker.admit(Deadline::NONE).await.unwrap_err();

    assert_eq!((open.reason, began.elapsed()), (Reason::InventoryDenied, Duration::from_secs(30)));
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
        let breaker =
            Breaker::new(call::Service::Inventory, config.inventory.breaker, TIMEOUT, Metrics::default());
        let call = async |ms, is_down: bool| {
            let permit = breaker.admit(Deadline::NONE).await?;
            sleep(Duration::from_millis(ms)).await;
            let outage = ServiceHealth::Outage(Reason::InventoryUnavailable);
            permit.complete(if is_down { outage } else { ServiceHealth::Works });
            Ok::<_, NotCalled>(())
        };
        let late_call = call(late_ms, false);
        let began = Instant::now();
        let probe_and_waiting_call = async {
            sleep(Duration::from_millis(1) + OPEN).await;
            tokio::join!(call(200, true), call(0, false))
        };

        let (late, _, _, (probe, waiting)) =
            tokio::join!(late_call, call(1, true), call(1, true), probe_and_waiting_call);

        assert_eq!((late, probe), (Ok(()), Ok(())));
        assert_eq!(waiting, Ok(()), "the call that waited for the failed probe is the next probe");
        assert_eq!(began.elapsed(), Duration::from_millis(1) + OPEN + Duration::from_millis(200) + OPEN);
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_waited_for_a_limit_are_recalled_although_the_breaker_opened_when_it_had_ended() {
    let settings = BreakerSettings { failures: 2, open_for: OPEN };
    let breaker = Breaker::new(call::Service::Inventory, settings, TIMEOUT, Metrics::default());
    let call = async |time, result| {
        let permit = breaker.admit(Deadline::NONE).await.unwrap();
        sleep(time).await;
        permit.complete(result);
    };
    let outage = ServiceHealth::Outage(Reason::InventoryUnavailable);
    call(TIMEOUT, outage).await;
    call(Duration::ZERO, ServiceHealth::Works).await;
    assert!(breaker.needs_recall(NotCalledCause::AttemptsLimited));
    call(Duration::ZERO, outage).await;
    call(Duration::ZERO, outage).await;
    assert!(!breaker.needs_recall(NotCalledCause::AttemptsLimited), "the service is down again");

    call(Duration::ZERO, ServiceHealth::Works).await;

    for cause in [NotCalledCause::BreakerOpen, NotCalledCause::AttemptsLimited] {
        assert!(breaker.needs_recall(cause), "{cause:?}");
    }
}

#[tokio::test]
async fn an_open_breaker_of_one_service_does_not_block_the_other_service() {
    let app = app_with(&[("BREAKER_OPEN_MS", "60000")]).await;
    app.services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    pay(&app, "r1").await;
    let calls_before = calls(&app, Service::ReservationApi);

    let run = pay_within(&app, "r2", 1, SHORT).await;

    assert_eq!(run.outcome("r2"), "deferred");
    assert_eq!(calls(&app, Service::ReservationApi), calls_before + 1);
}

#[tokio::test]
async fn zero_failures_or_zero_open_time_disables_the_breaker() {
    for setting in [("BREAKER_FAILURES", "0"), ("BREAKER_OPEN_MS", "0")] {
        let app = app_with(&[("WORKER_CONCURRENCY", "1"), setting]).await;
        app.services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
        for number in 0..10 {
            let id = format!("r{number}");
            assert_eq!(pay(&app, &id).await.outcome(&id), "retried", "{setting:?}");
        }
        assert_eq!(calls(&app, Service::ReservationApi), 30, "{setting:?}");
    }
}
