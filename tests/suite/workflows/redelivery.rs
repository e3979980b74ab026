//! Nothing is rolled back: a step that fails, or whose reply is lost, leaves the event on the queue, and the
//! next delivery resumes it.

use std::time::Duration;

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use rustls::RootCertStore;

use super::deliver;
use crate::table::{
    Kind, PATCH, app_with_generous_limits, assert_seats_match_status, inventory_requests, operations,
};
use crate::test_app::{TestApp, sqs};

/// The ways to lose a reply, each with variables under which the loss is quick and affects no other call.
fn losses(service: Service) -> [(Effect, &'static [(&'static str, &'static str)]); 3] {
    let unavailable = match service {
        Service::ReservationApi => Effect::http(503),
        Service::Inventory => Effect::grpc(14),
    };
    let variable = match service {
        Service::ReservationApi => &[("RESERVATION_API_TIMEOUT_MS", "400")],
        Service::Inventory => &[("INVENTORY_TIMEOUT_MS", "400")],
    };
    [(unavailable, &[]), (Effect::Hang, variable), (Effect::Reset, &[("WORKER_CONCURRENCY", "1")])]
}

/// Delivers one event of each kind, each for its own hold, and checks the outcome. The message ids are new in each
/// delivery.
async fn deliver_all(app: &TestApp, delivery: &str, outcome: &str) {
    let messages = Kind::ALL.map(|kind| (format!("{delivery}-{kind:?}"), kind.event(&format!("{kind:?}"))));
    let run = app.run(sqs(messages.iter().map(|(id, event)| (id.as_str(), event.clone())))).await;
    for (message_id, _) in &messages {
        assert_eq!(run.outcome(message_id), outcome, "{}", run.reason(message_id));
    }
    assert_eq!(run.returned().is_empty(), outcome == "success");
}

/// Applies this effect to the next `times` calls of a step of each event.
fn lose_replies(app: &TestApp, step: Service, effect: &Effect, times: u32) {
    for kind in Kind::ALL {
        let id = format!("{kind:?}");
        let operation = match step {
            Service::ReservationApi => PATCH,
            Service::Inventory => kind.inventory_call(),
        };
        app.services.fault(Fault::on(operation, &id, effect.clone()).times(times));
    }
}

fn assert_done(app: &TestApp, calls: impl Fn(Kind) -> Vec<Operation>) {
    for kind in Kind::ALL {
        let id = format!("{kind:?}");
        assert_eq!(app.services.reservation(&id).unwrap().status, kind.target_status());
        assert_eq!(app.services.seat_state(&id), Some(kind.final_seat_state()));
        assert_eq!(operations(app, &id), calls(kind));
        let requests = inventory_requests(app, &id);
        assert!(requests.iter().all(|request| *request == requests[0]), "{requests:#?}");
    }
    assert_eq!(app.services.unused_faults(), 0);
}

async fn app_with_holds(variables: &[(&str, &str)]) -> TestApp {
    let app = app_with_generous_limits(variables).await;
    Kind::ALL.iter().for_each(|kind| app.hold(&format!("{kind:?}")));
    app
}

#[tokio::test]
async fn a_call_is_retried_within_the_invocation_after_one_lost_reply() {
    for step in [Service::ReservationApi, Service::Inventory] {
        for (effect, variables) in losses(step) {
            for effect in [effect.clone(), Effect::done_then(effect)] {
                let app = app_with_holds(variables).await;
                lose_replies(&app, step, &effect, 1);
                deliver_all(&app, "first", "success").await;
                assert_done(&app, |kind| match step {
                    Service::ReservationApi => vec![PATCH, PATCH, kind.inventory_call()],
                    Service::Inventory => vec![PATCH, kind.inventory_call(), kind.inventory_call()],
                });
            }
        }
    }
}

#[tokio::test]
async fn a_step_whose_replies_are_all_lost_is_completed_by_the_next_delivery() {
    for step in [Service::ReservationApi, Service::Inventory] {
        for (effect, variables) in losses(step) {
            for effect in [effect.clone(), Effect::done_then(effect)] {
                let app = app_with_holds(variables).await;
                lose_replies(&app, step, &effect, 3);
                deliver_all(&app, "first", "retried").await;
                deliver_all(&app, "second", "success").await;
                assert_done(&app, |kind| match step {
                    Service::ReservationApi => [vec![PATCH; 4], vec![kind.inventory_call()]].concat(),
                    Service::Inventory => {
                        let seats = kind.inventory_call();
                        [vec![PATCH], vec![seats; 3], vec![PATCH, seats]].concat()
                    }
                });
            }
        }
    }
}

#[tokio::test]
async fn a_redelivery_that_finds_the_target_status_completes_the_inventory_step() {
    // As in the test above, but the API no longer knows the idempotency key and replies with the current status.
    for effect in [Effect::grpc(14), Effect::done_then(Effect::grpc(14))] {
        let app = app_with_holds(&[]).await;
        lose_replies(&app, Service::Inventory, &effect, 3);
        deliver_all(&app, "first", "retried").await;
        for kind in Kind::ALL {
            app.services
                .fault(Fault::on(PATCH, &format!("{kind:?}"), kind.already_in_target_status()).times(1));
        }
        deliver_all(&app, "second", "success").await;
        assert_done(&app, |kind| {
            let seats = kind.inventory_call();
            [vec![PATCH], vec![seats; 3], vec![PATCH, seats]].concat()
        });
    }
}

#[tokio::test]
async fn a_target_status_set_by_another_client_is_followed_by_the_inventory_step() {
    let app = app_with_holds(&[]).await;
    for kind in Kind::ALL {
        app.services.set_reservation_status(&format!("{kind:?}"), kind.target_status());
    }
    deliver_all(&app, "first", "success").await;
    assert_done(&app, |kind| vec![PATCH, kind.inventory_call()]);
}

#[tokio::test]
async fn an_inventory_step_that_is_already_done_is_a_success() {
    // The seats were released or sold with another idempotency key, so the reply describes the state of the seats.
    for kind in [Kind::Expired, Kind::Failed] {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        assert_eq!(deliver(&app, "m-1", kind.event("r1")).await.0, "success");
        app.services.fault(Fault::on(kind.inventory_call(), "r1", Effect::reply(2, None)).times(1));
        assert_eq!(deliver(&app, "m-2", kind.event("r1")).await.0, "success");
        assert_seats_match_status(&app, "r1");
    }
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event("r1")).await.0, "success");
    app.services.fault(Fault::on(Kind::Approved.inventory_call(), "r1", Effect::grpc(6)).times(1));
    assert_eq!(deliver(&app, "m-2", Kind::Approved.event("r1")).await.0, "success");
    assert_seats_match_status(&app, "r1");
}

#[tokio::test]
async fn an_event_abandoned_between_the_steps_is_completed_by_another_process() {
    let abandoned = [
        (Service::ReservationApi, Effect::Hang),
        (Service::ReservationApi, Effect::done_then(Effect::Hang)),
        (Service::Inventory, Effect::Hang),
        (Service::Inventory, Effect::done_then(Effect::Hang)),
    ];
    for (step, effect) in abandoned {
        let app = app_with_holds(&[("DEADLINE_RESERVE_MS", "500")]).await;
        lose_replies(&app, step, &effect, 1);
        let events = Kind::ALL.map(|kind| (format!("{kind:?}"), kind.event(&format!("{kind:?}"))));
        let events = sqs(events.iter().map(|(id, event)| (id.as_str(), event.clone())));
        let run = app.run_within(events, Duration::from_millis(1_000)).await;
        for kind in Kind::ALL {
            assert_eq!(run.outcome(&format!("{kind:?}")), "deferred");
        }
        assert_eq!(run.returned().len(), Kind::ALL.len());

        let another = TestApp::of(app.services, &crate::table::GENEROUS_LIMITS, RootCertStore::empty());
        another.services.clear_faults();
        deliver_all(&another, "second", "success").await;
        for kind in Kind::ALL {
            assert_seats_match_status(&another, &format!("{kind:?}"));
            assert_eq!(another.services.seat_state(&format!("{kind:?}")), Some(kind.final_seat_state()));
        }
    }
}

#[tokio::test]
async fn services_that_recover_are_used_again_until_the_event_is_complete() {
    for kind in Kind::ALL {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        app.services.stop(Service::ReservationApi).await;
        assert_eq!(deliver(&app, "m-1", kind.event("r1")).await.0, "retried");
        assert_eq!(app.services.reservation("r1").unwrap().status, Status::Hold);

        app.services.stop(Service::Inventory).await;
        app.services.restart(Service::ReservationApi).await.unwrap();
        assert_eq!(deliver(&app, "m-2", kind.event("r1")).await.0, "retried");
        assert_eq!(app.services.reservation("r1").unwrap().status, kind.target_status());
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));

        app.services.stop(Service::ReservationApi).await;
        app.services.restart(Service::Inventory).await.unwrap();
        assert_eq!(deliver(&app, "m-3", kind.event("r1")).await.0, "retried");
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));

        app.services.restart(Service::ReservationApi).await.unwrap();
        assert_eq!(deliver(&app, "m-4", kind.event("r1")).await.0, "success");
        assert_seats_match_status(&app, "r1");
        assert_eq!(app.services.seat_state("r1"), Some(kind.final_seat_state()));
    }
}
