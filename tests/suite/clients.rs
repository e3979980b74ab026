//! Contract section 3 and 7: the two clients, which live as long as the process.

use std::time::Duration;

use reservation_worker::telemetry::metrics::ClockReading;
use reservation_worker_local::{Effect, Fault, Service, Services};
use rustls::RootCertStore;

use crate::table::{GET, Kind, PATCH, PATIENT, never_logged, operations, patient};
use crate::test_app::{BatchRun, TestApp, sqs};
use crate::wire::Server;

mod http2;
mod strange;
mod tls;

/// A test app whose function talks to the services through proxies that count connections.
async fn counted(variables: &[(&str, &str)]) -> (TestApp, Server, Server) {
    let services = Services::start().await.unwrap();
    let authority = services.reservation_api_base().replace("http://", "");
    let rest = Server::proxy(authority).await;
    let grpc = Server::proxy(services.inventory_addr()).await;
    let (base, addr) = (rest.base(), grpc.addr());
    let addresses = [("RESERVATION_API_BASE", base.as_str()), ("INVENTORY_GRPC_ADDR", addr.as_str())];
    let variables = [&PATIENT, &addresses[..], variables].concat();
    (TestApp::of(services, &variables, RootCertStore::empty()), rest, grpc)
}

/// Runs a batch of payments for new holds of these names.
async fn pay(app: &TestApp, ids: &[String]) -> BatchRun {
    ids.iter().for_each(|id| app.hold(id));
    let records = ids.iter().map(|id| (id.as_str(), Kind::Approved.event(id)));
    app.run(sqs(records)).await
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[tokio::test]
async fn the_token_goes_to_the_reservation_api_alone_and_never_into_the_log() {
    const TOKEN: &str = "a-very-secret-token";
    let app = patient(&[("RESERVATION_API_TOKEN", TOKEN)]).await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
    app.services.fault(Fault::any(GET, Effect::http(401)).times(1));
    let ran = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(ran.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [PATCH, GET, GET, Kind::Approved.seat_call()]);
    for call in app.services.calls() {
        let bearer = format!("Bearer {TOKEN}");
        let expected = (call.operation.service() == Service::ReservationApi).then_some(&bearer);
        assert_eq!(call.headers.get("authorization"), expected, "{:?}", call.operation);
    }
    app.services.stop(Service::ReservationApi).await;
    let refused = app.run(sqs([("m-2", Kind::Approved.event("r1"))])).await;
    never_logged(&ran, TOKEN);
    never_logged(&refused, TOKEN);
}

#[tokio::test]
async fn a_redirect_takes_no_token_to_another_host() {
    let elsewhere = Server::replying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let location = format!("{}/internal/reservations/x", elsewhere.base());
    let app = patient(&[("RESERVATION_API_TOKEN", "a-very-secret-token")]).await;
    for status in [301, 302, 303, 307, 308] {
        let ids = [format!("astray{status}"), format!("good{status}")];
        app.services.fault(Fault::on(PATCH, &ids[0], Effect::http(status).with_location(&location)));
        let ran = pay(&app, &ids).await;
        assert_eq!(ran.returned(), [&ids[0]]);
        assert_eq!(ran.reason(&ids[0]), format!("reservation API: {status}"));
        assert_eq!(operations(&app, &ids[0]), [PATCH; 3]);
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn without_a_token_no_authorization_is_sent() {
    let app = patient(&[("RESERVATION_API_TOKEN", "")]).await;
    let ran = pay(&app, &ids("r", 1)).await;
    assert_eq!(ran.returned(), [""; 0]);
    let calls = app.services.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| !call.headers.contains_key("authorization")));
}

#[tokio::test]
async fn batch_after_batch_uses_one_connection_to_each_service() {
    let (app, rest, grpc) = counted(&[]).await;
    assert_eq!((rest.accepted(), grpc.accepted()), (0, 0), "connected before it was needed");
    for batch in 0..8 {
        let ran = pay(&app, &ids(&format!("b{batch}-"), 1)).await;
        assert_eq!(ran.returned(), [""; 0]);
        assert_eq!((rest.accepted(), grpc.accepted()), (1, 1), "after batch {batch}");
    }
}

/// An environment may be frozen before its first event, and whatever keeps the connection may have let it go.
#[tokio::test]
async fn a_connection_made_ahead_is_used_if_it_was_not_silent_for_too_long_by_either_clock() {
    let (now, silence) = (ClockReading::now(), Duration::from_secs(10));
    let (instant, time) = (now.instant - silence, now.time - silence);
    for (since, connections) in
        [(now, 1), (ClockReading { instant, ..now }, 2), (ClockReading { time, ..now }, 2)]
    {
        let (app, _rest, grpc) = counted(&[]).await;
        app.connect(since).await;
        assert_eq!(pay(&app, &ids("r", 2)).await.returned(), [""; 0]);
        assert_eq!(grpc.accepted(), connections, "{since:?} is {:?} ago", now.instant - since.instant);
    }
}

#[tokio::test]
async fn refusals_and_faults_do_not_cost_the_connection() {
    let (app, rest, grpc) = counted(&[]).await;
    for (number, status) in [204, 302, 404, 409, 429, 503].into_iter().enumerate() {
        let id = format!("r{number}");
        app.services.fault(Fault::on(PATCH, &id, Effect::http(status)));
        pay(&app, &[id]).await;
    }
    for (number, code) in [3, 13, 14, 16].into_iter().enumerate() {
        let id = format!("g{number}");
        app.services.fault(Fault::on(Kind::Approved.seat_call(), &id, Effect::grpc(code)));
        pay(&app, &[id]).await;
    }
    assert_eq!((rest.accepted(), grpc.accepted()), (1, 1));
}

#[tokio::test]
async fn twenty_records_at_once_share_one_connection_to_the_inventory() {
    let (app, rest, grpc) = counted(&[("WORKER_CONCURRENCY", "20")]).await;
    // All twenty are in flight before the first reply.
    app.services.fault(Fault::any(Kind::Approved.seat_call(), Effect::latency(100)));
    for batch in ["a", "b"] {
        let ran = pay(&app, &ids(batch, 20)).await;
        assert_eq!(ran.returned(), [""; 0]);
        assert_eq!(grpc.accepted(), 1);
        assert!(rest.accepted() <= 20, "{} connections", rest.accepted());
    }
    assert!(app.services.peak_in_flight() > 1);
}

#[tokio::test]
async fn connections_to_the_reservation_api_are_never_more_than_the_records_worked_on_at_once() {
    let (app, rest, _grpc) = counted(&[("WORKER_CONCURRENCY", "5")]).await;
    let ran = pay(&app, &ids("r", 60)).await;
    assert_eq!(ran.returned(), [""; 0]);
    assert!(rest.accepted() <= 5, "{} connections", rest.accepted());
}

#[tokio::test]
async fn a_service_that_restarts_is_used_again_by_the_same_function() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = patient(&[]).await;
        app.connect(ClockReading::now()).await;
        assert_eq!(pay(&app, &ids("before", 3)).await.returned(), [""; 0]);
        app.services.stop(service).await;
        let during = ids("during", 3);
        let ran = pay(&app, &during).await;
        assert_eq!(ran.returned(), during);
        assert!(during.iter().all(|id| ran.outcome(id) == "retried"));
        app.services.restart(service).await.unwrap();

        let after = ids("after", 3);
        let ran = pay(&app, &after).await;
        assert!(after.iter().all(|id| ran.outcome(id) == "success"), "{service:?}");
        let records = during.iter().map(|id| (id.as_str(), Kind::Approved.event(id)));
        assert_eq!(app.run(sqs(records)).await.returned(), [""; 0]);
    }
}

#[tokio::test]
async fn a_service_that_restarted_between_two_batches_costs_no_record_its_try() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = patient(&[]).await;
        for round in 0..4 {
            let ids = ids(&format!("r{round}-"), 3);
            let ran = pay(&app, &ids).await;
            assert!(ids.iter().all(|id| ran.outcome(id) == "success"), "{service:?} {round}");
            app.services.stop(service).await;
            app.services.restart(service).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_time_out_is_of_each_try() {
    let app = patient(&[("RESERVATION_API_TIMEOUT_MS", "1000"), ("INVENTORY_TIMEOUT_MS", "1000")]).await;
    app.services.fault(Fault::any(PATCH, Effect::Hang).times(1));
    app.services.fault(Fault::any(Kind::Approved.seat_call(), Effect::Hang).times(1));
    let ran = pay(&app, &ids("r", 1)).await;
    assert_eq!(ran.outcome("r0"), "success");
    let seats = Kind::Approved.seat_call();
    assert_eq!(operations(&app, "r0"), [PATCH, PATCH, seats, seats]);
}

#[tokio::test]
async fn each_service_has_a_time_out_of_its_own() {
    // The one is far longer than the pause at it, the other far shorter.
    let pause = Effect::latency(700);
    let cases = [
        (PATCH, "RESERVATION_API_TIMEOUT_MS", "reservation API: no reply in time"),
        (Kind::Approved.seat_call(), "INVENTORY_TIMEOUT_MS", "inventory: DeadlineExceeded"),
    ];
    for (operation, variable, reason) in cases {
        let app = patient(&[(variable, "200")]).await;
        app.services.fault(Fault::any(operation, pause.clone()));
        let ran = pay(&app, &ids("r", 1)).await;
        assert_eq!((ran.outcome("r0"), ran.reason("r0")), ("retried", reason));
    }
}
