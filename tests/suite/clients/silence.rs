//! Contract section 6, "Connections after silence": an environment is frozen, and its peers forget its connections.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Services};
use rustls::RootCertStore;

use super::{app_with_counting_proxies, ids, pay};
use crate::forgetful_proxy::{AfterForgetting, ForgetfulProxy};
use crate::shifted_clock::{self, Shift};
use crate::table::PATCH;
use crate::test_app::{BatchRun, TestApp};
use crate::wire::Server;

const SILENCE: Duration = Duration::from_secs(10);
const ALMOST_SILENCE: Duration = Duration::from_millis(9_000);

/// An app with this concurrency and otherwise the default settings, except for its time-outs, which suit a slow
/// machine.
async fn app(rest: &Server, grpc: &Server, services: Services, concurrency: usize) -> TestApp {
    let concurrency = concurrency.to_string();
    let variables = [
        ("RESERVATION_API_BASE", rest.base()),
        ("INVENTORY_GRPC_ADDR", grpc.addr()),
        ("RESERVATION_API_TIMEOUT_MS", "5000".to_owned()),
        ("INVENTORY_TIMEOUT_MS", "5000".to_owned()),
        ("WORKER_CONCURRENCY", concurrency),
        ("LOG_LEVEL", "debug".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    TestApp::of(services, &variables, RootCertStore::empty())
}

/// The number of attempts of calls to both services.
fn attempts(run: &BatchRun) -> usize {
    run.log.iter().filter(|line| line["message"] == "attempt of a call ended").count()
}

async fn forgotten_connections_cost_nothing(after_forgetting: AfterForgetting, size: usize) {
    for shift in Shift::all(SILENCE) {
        let services = Services::start().await.unwrap();
        let authority = services.reservation_api_base().replace("http://", "");
        let rest = ForgetfulProxy::start(authority, after_forgetting).await;
        let grpc = ForgetfulProxy::start(services.inventory_addr(), after_forgetting).await;
        let app = app(&rest.server, &grpc.server, services, size).await;
        // Every record opens a connection to the reservation API.
        app.services.fault(Fault::any(PATCH, Effect::latency(300)));
        assert_eq!(pay(&app, &ids("before", size)).await.returned(), [""; 0]);
        app.services.clear_faults();
        assert_eq!((rest.server.accepted(), grpc.server.accepted()), (size, 1));

        for proxy in [&rest, &grpc] {
            proxy.forget();
        }
        shifted_clock::advance(shift);
        let run = pay(&app, &ids("after", size)).await;

        assert_eq!(run.returned(), [""; 0], "{after_forgetting:?} {shift:?}");
        assert_eq!(attempts(&run), 2 * size, "{after_forgetting:?} {shift:?}");
        assert!(!run.text.contains("breaker opened"), "{after_forgetting:?} {shift:?}");
    }
}

#[tokio::test]
async fn connections_that_were_silently_forgotten_fail_no_record_of_a_batch_of_20() {
    forgotten_connections_cost_nothing(AfterForgetting::DropsData, 20).await;
}

#[tokio::test]
async fn connections_that_were_silently_forgotten_fail_no_record_of_a_batch_of_100() {
    forgotten_connections_cost_nothing(AfterForgetting::DropsData, 100).await;
}

#[tokio::test]
async fn connections_that_are_reset_when_used_fail_no_record_of_a_batch_of_20() {
    forgotten_connections_cost_nothing(AfterForgetting::Resets, 20).await;
}

#[tokio::test]
async fn connections_that_are_reset_when_used_fail_no_record_of_a_batch_of_100() {
    forgotten_connections_cost_nothing(AfterForgetting::Resets, 100).await;
}

#[tokio::test]
async fn connections_are_reused_until_a_clock_shows_a_silence() {
    for (pause, connections) in [(ALMOST_SILENCE, 1), (SILENCE, 4)] {
        let (app, rest, grpc) = app_with_counting_proxies(&[]).await;
        assert_eq!(pay(&app, &ids("first", 1)).await.returned(), [""; 0]);
        for (batch, shift) in Shift::all(pause).into_iter().enumerate() {
            shifted_clock::advance(shift);
            assert_eq!(pay(&app, &ids(&format!("b{batch}-"), 1)).await.returned(), [""; 0]);
        }
        assert_eq!((rest.accepted(), grpc.accepted()), (connections, connections), "{pause:?}");
    }
}

/// A silence can end before the first call of a batch, and begin between two calls.
#[tokio::test]
async fn a_silence_between_the_two_steps_of_a_record_renews_only_the_silent_connections() {
    let (app, rest, grpc) = app_with_counting_proxies(&[]).await;
    assert_eq!(pay(&app, &ids("first", 1)).await.returned(), [""; 0]);
    app.services.fault(Fault::any(PATCH, Effect::latency(300)));
    let frozen = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        shifted_clock::advance(Shift { monotonic: SILENCE, wall: SILENCE });
    };
    let ids = ids("second", 1);
    let (run, ()) = tokio::join!(pay(&app, &ids), frozen);
    assert_eq!(run.returned(), [""; 0]);
    assert_eq!((rest.accepted(), grpc.accepted()), (1, 2));
}

#[tokio::test]
async fn the_end_of_a_call_counts_as_traffic_unless_the_call_was_as_long_as_a_silence() {
    for (duration, connections) in [(ALMOST_SILENCE, 1), (SILENCE, 2)] {
        let (app, rest, _grpc) = app_with_counting_proxies(&[]).await;
        app.services.fault(Fault::any(PATCH, Effect::latency(300)).times(1));
        let shift = Shift { monotonic: duration, wall: duration };
        let slow = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            shifted_clock::advance(shift);
        };
        let first = ids("first", 1);
        let (run, ()) = tokio::join!(pay(&app, &first), slow);
        assert_eq!(run.returned(), [""; 0]);
        // Since the beginning of the call, a silence has passed; since its end, it has not.
        shifted_clock::advance(Shift { monotonic: SILENCE / 2, wall: SILENCE / 2 });
        assert_eq!(pay(&app, &ids("second", 1)).await.returned(), [""; 0]);
        assert_eq!(rest.accepted(), connections, "{duration:?}");
    }
}

/// An execution environment may be frozen before its first event.
#[tokio::test]
async fn a_connection_made_at_the_start_is_used_only_if_both_clocks_show_a_short_silence() {
    for (silence, connections) in [(ALMOST_SILENCE, 1), (SILENCE, 2)] {
        for shift in Shift::all(silence) {
            let (app, _rest, grpc) = app_with_counting_proxies(&[]).await;
            app.connect().await;
            shifted_clock::advance(shift);
            assert_eq!(pay(&app, &ids("r", 2)).await.returned(), [""; 0]);
            assert_eq!(grpc.accepted(), connections, "{shift:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_made_at_the_start_does_not_replace_the_one_in_use() {
    let (app, _rest, grpc) = app_with_counting_proxies(&[]).await;
    assert_eq!(pay(&app, &ids("before", 1)).await.returned(), [""; 0]);
    app.connect().await;
    assert_eq!(pay(&app, &ids("after", 1)).await.returned(), [""; 0]);
    assert_eq!(grpc.accepted(), 2);
}
