//! Contract sections 3 and 7: the clients of the two services. A client lives as long as the process.

use reservation_worker_local::{Effect, Fault, Service, Services};
use rustls::RootCertStore;

use crate::table::{
    GENEROUS_LIMITS, GET, Kind, PATCH, app_with_generous_limits, assert_never_logged, operations,
};
use crate::test_app::{BatchRun, TestApp, expired, sqs};
use crate::wire::Server;

mod faulty_servers;
mod http2;
mod silence;
mod tls;
mod token_rotation;

/// A test app that calls its services through proxies, the proxy of the reservation API, and the proxy of the
/// inventory. Each proxy counts its connections.
async fn app_with_counting_proxies(variables: &[(&str, &str)]) -> (TestApp, Server, Server) {
    let services = Services::start().await.unwrap();
    let authority = services.reservation_api_base().replace("http://", "");
    let rest = Server::proxy(authority).await;
    let grpc = Server::proxy(services.inventory_addr()).await;
    let (base, addr) = (rest.base(), grpc.addr());
    let addresses = [("RESERVATION_API_BASE", base.as_str()), ("INVENTORY_GRPC_ADDR", addr.as_str())];
    let variables = [&GENEROUS_LIMITS, &addresses[..], variables].concat();
    (TestApp::of(services, &variables, RootCertStore::empty()), rest, grpc)
}

/// Creates a hold for each id and runs a batch with an approved payment for each hold.
async fn pay(app: &TestApp, ids: &[String]) -> BatchRun {
    ids.iter().for_each(|id| app.hold(id));
    let records = ids.iter().map(|id| (id.as_str(), Kind::Approved.event(id)));
    app.run(sqs(records)).await
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[tokio::test]
async fn both_services_get_the_version_of_the_worker_as_user_agent() {
    let app = TestApp::new().await;
    app.hold("r1");
    app.run(sqs([("m-1", expired("r1"))])).await;

    let user_agent = concat!("reservation-worker/", env!("CARGO_PKG_VERSION"));
    let calls = app.services.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(call.headers["user-agent"], user_agent, "{:?}", call.operation);
    }
}

#[tokio::test]
async fn the_token_is_sent_to_the_reservation_api_only_and_never_logged() {
    const TOKEN: &str = "a-very-secret-token";
    let app = app_with_generous_limits(&[("RESERVATION_API_TOKEN", TOKEN)]).await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
    app.services.fault(Fault::any(GET, Effect::http(500)).times(1));
    let run = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))])).await;
    assert_eq!(run.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [PATCH, GET, GET, Kind::Approved.inventory_call()]);
    for call in app.services.calls() {
        let bearer = format!("Bearer {TOKEN}");
        let expected = (call.operation.service() == Service::ReservationApi).then_some(&bearer);
        assert_eq!(call.headers.get("authorization"), expected, "{:?}", call.operation);
    }
    app.services.stop(Service::ReservationApi).await;
    let without_api = app.run(sqs([("m-2", Kind::Approved.event("r1"))])).await;
    assert_never_logged(&run, TOKEN);
    assert_never_logged(&without_api, TOKEN);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed_and_the_host_gets_no_token() {
    let other_host = Server::replying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let location = format!("{}/internal/reservations/x", other_host.base());
    let app = app_with_generous_limits(&[("RESERVATION_API_TOKEN", "a-very-secret-token")]).await;
    for status in [301, 302, 303, 307, 308] {
        let ids = [format!("redirected{status}"), format!("successful{status}")];
        app.services.fault(Fault::on(PATCH, &ids[0], Effect::http(status).with_location(&location)));
        let run = pay(&app, &ids).await;
        assert_eq!(run.returned(), [&ids[0]]);
        assert_eq!(run.reason(&ids[0]), format!("reservation API: {status}"));
        assert_eq!(operations(&app, &ids[0]), [PATCH]);
    }
    assert_eq!(other_host.accepted(), 0);
}

#[tokio::test]
async fn without_a_token_no_authorization_header_is_sent() {
    let app = app_with_generous_limits(&[("RESERVATION_API_TOKEN", "")]).await;
    let run = pay(&app, &ids("r", 1)).await;
    assert_eq!(run.returned(), [""; 0]);
    let calls = app.services.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| !call.headers.contains_key("authorization")));
}

#[tokio::test]
async fn consecutive_batches_use_one_connection_to_each_service() {
    let (app, rest, grpc) = app_with_counting_proxies(&[]).await;
    assert_eq!((rest.accepted(), grpc.accepted()), (0, 0), "no connection is made before it is needed");
    for batch in 0..8 {
        let run = pay(&app, &ids(&format!("b{batch}-"), 1)).await;
        assert_eq!(run.returned(), [""; 0]);
        assert_eq!((rest.accepted(), grpc.accepted()), (1, 1), "after batch {batch}");
    }
}

#[tokio::test]
async fn error_replies_do_not_close_the_connection() {
    let (app, rest, grpc) = app_with_counting_proxies(&[]).await;
    for (number, status) in [204, 302, 404, 409, 429, 503].into_iter().enumerate() {
        let id = format!("r{number}");
        app.services.fault(Fault::on(PATCH, &id, Effect::http(status)));
        pay(&app, &[id]).await;
    }
    for (number, code) in [3, 13, 14, 16].into_iter().enumerate() {
        let id = format!("g{number}");
        app.services.fault(Fault::on(Kind::Approved.inventory_call(), &id, Effect::grpc(code)));
        pay(&app, &[id]).await;
    }
    assert_eq!((rest.accepted(), grpc.accepted()), (1, 1));
}

#[tokio::test]
async fn twenty_concurrent_records_share_one_connection_to_the_inventory() {
    let (app, rest, grpc) = app_with_counting_proxies(&[("WORKER_CONCURRENCY", "20")]).await;
    // All 20 calls are in flight before the first reply.
    app.services.fault(Fault::any(Kind::Approved.inventory_call(), Effect::latency(100)));
    for batch in ["a", "b"] {
        let run = pay(&app, &ids(batch, 20)).await;
        assert_eq!(run.returned(), [""; 0]);
        assert_eq!(grpc.accepted(), 1);
        assert!(rest.accepted() <= 20, "{} connections", rest.accepted());
    }
    assert!(app.services.peak_in_flight() > 1);
}

#[tokio::test]
async fn the_reservation_api_gets_at_most_one_connection_per_concurrent_record() {
    let (app, rest, _grpc) = app_with_counting_proxies(&[("WORKER_CONCURRENCY", "5")]).await;
    let run = pay(&app, &ids("r", 60)).await;
    assert_eq!(run.returned(), [""; 0]);
    assert!(rest.accepted() <= 5, "{} connections", rest.accepted());
}

#[tokio::test]
async fn a_service_that_restarts_is_used_again_by_the_same_function() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = app_with_generous_limits(&[]).await;
        app.connect().await;
        assert_eq!(pay(&app, &ids("before", 3)).await.returned(), [""; 0]);
        app.services.stop(service).await;
        let during = ids("during", 3);
        let run = pay(&app, &during).await;
        assert_eq!(run.returned(), during);
        assert!(during.iter().all(|id| run.outcome(id) == "retried"));
        app.services.restart(service).await.unwrap();

        let after = ids("after", 3);
        let run = pay(&app, &after).await;
        assert!(after.iter().all(|id| run.outcome(id) == "success"), "{service:?}");
        let records = during.iter().map(|id| (id.as_str(), Kind::Approved.event(id)));
        assert_eq!(app.run(sqs(records)).await.returned(), [""; 0]);
    }
}

#[tokio::test]
async fn a_restart_of_a_service_between_two_batches_fails_no_record() {
    for service in [Service::ReservationApi, Service::Inventory] {
        let app = app_with_generous_limits(&[]).await;
        for round in 0..4 {
            let ids = ids(&format!("r{round}-"), 3);
            let run = pay(&app, &ids).await;
            assert!(ids.iter().all(|id| run.outcome(id) == "success"), "{service:?} {round}");
            app.services.stop(service).await;
            app.services.restart(service).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_time_out_applies_to_each_attempt() {
    let app =
        app_with_generous_limits(&[("RESERVATION_API_TIMEOUT_MS", "1000"), ("INVENTORY_TIMEOUT_MS", "1000")])
            .await;
    app.services.fault(Fault::any(PATCH, Effect::Hang).times(1));
    app.services.fault(Fault::any(Kind::Approved.inventory_call(), Effect::Hang).times(1));
    let run = pay(&app, &ids("r", 1)).await;
    assert_eq!(run.outcome("r0"), "success");
    let seats = Kind::Approved.inventory_call();
    assert_eq!(operations(&app, "r0"), [PATCH, PATCH, seats, seats]);
}

#[tokio::test]
async fn each_service_has_its_own_time_out() {
    // One service has a delay of 700 ms and a time-out of 200 ms. The time-out of the other service is 60 s.
    let delay = Effect::latency(700);
    let cases = [
        (PATCH, "RESERVATION_API_TIMEOUT_MS", "reservation API: no reply in time"),
        (Kind::Approved.inventory_call(), "INVENTORY_TIMEOUT_MS", "inventory: DEADLINE_EXCEEDED"),
    ];
    for (operation, variable, reason) in cases {
        let app = app_with_generous_limits(&[(variable, "200")]).await;
        app.services.fault(Fault::any(operation, delay.clone()));
        let run = pay(&app, &ids("r", 1)).await;
        assert_eq!((run.outcome("r0"), run.reason("r0")), ("retried", reason));
    }
}
