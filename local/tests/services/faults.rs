use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reservation_worker_local::proto::reservation::v1::ReleaseStatus;
use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::json;
use tonic::Code;

use crate::client::{TestServices, commit, confirmed, expired, hold, release, until};

const SEATS: [&str; 2] = ["A-1", "A-2"];

fn update_fault(effect: Effect) -> Fault {
    Fault::on(Operation::UpdateStatus, "r1", effect)
}

fn release_fault(effect: Effect) -> Fault {
    Fault::on(Operation::ReleaseHold, "r1", effect)
}

#[tokio::test]
async fn faults_affect_matching_calls_the_given_number_of_times_in_the_order_in_which_they_were_added() {
    let test = TestServices::with_hold().await;
    test.services.create_hold(hold("r2", &["B-1"])).unwrap();
    test.services.fault(update_fault(Effect::http(503)).times(2));
    test.services.fault(Fault::any(Operation::UpdateStatus, Effect::http_code(429, "RATE_LIMITED")).times(2));
    assert_eq!(test.services.unused_faults(), 2);
    let limited = (429, "RATE_LIMITED".to_owned());
    assert_eq!(test.update("r1", "k", expired()).await.0, 503);
    assert_eq!(test.update("r2", "k2", expired()).await, limited);
    assert_eq!(test.update("r1", "k", expired()).await.0, 503);
    assert_eq!(test.services.unused_faults(), 1);
    assert_eq!(test.update("r1", "k", expired()).await, limited);
    assert_eq!(test.services.unused_faults(), 0);
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Hold, "a fault prevents the update");
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);

    test.services.fault(release_fault(Effect::grpc(14)));
    for _ in 0..3 {
        assert_eq!(test.release(release("r1", &SEATS)).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(test.services.unused_faults(), 0, "the fault has no limited number of times");
    test.services.clear_faults();
    assert_eq!(test.release(release("r1", &SEATS)).await.unwrap().status(), ReleaseStatus::Success);
    let replies: Vec<_> = test.services.calls_for("r1").into_iter().map(|call| call.reply).collect();
    let expected =
        ["503", "503", "429 RATE_LIMITED", "200", "UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE", "SUCCESS"];
    assert_eq!(replies, expected);
}

#[tokio::test]
async fn an_effect_affects_only_the_service_that_uses_its_protocol() {
    let test = TestServices::with_hold().await;
    test.services.fault(Fault::of_both_services(Effect::grpc(14)));
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    assert!(test.release(release("r1", &SEATS)).await.is_err());
}

#[tokio::test]
async fn http_effects_replace_status_headers_and_body() {
    let test = TestServices::with_hold().await;
    let busy = Effect::http_code(503, "BUSY").with_retry_after("7").with_location("/elsewhere");
    test.services.fault(update_fault(busy).times(1));
    let reply = test.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(reply.status(), 503);
    assert_eq!(reply.headers()["retry-after"], "7");
    assert_eq!(reply.headers()["location"], "/elsewhere");

    let page = Effect::HttpBody { status: 502, content_type: "text/html".into(), body: "<html>".into() };
    test.services.fault(update_fault(page).times(1));
    let reply = test.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-type"]),
        (502, &"text/html".parse().unwrap())
    );
    assert_eq!(reply.text().await.unwrap(), "<html>");
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Hold);

    test.services.fault(update_fault(Effect::EmptyBody).times(1));
    let reply = test.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (200, ""));
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Expired, "the update was performed");

    let unexpected = Effect::Body { content_type: "text/plain".into(), body: "done".into() };
    test.services.fault(update_fault(unexpected).times(2));
    let reply = test.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (200, "done"));
    let rejected = test.update("r1", "k2", confirmed()).await;
    assert_eq!(rejected, (409, "RESERVATION_EXPIRED".to_owned()), "an error does not become a success");
}

#[tokio::test]
async fn a_reply_effect_sets_status_and_error_in_an_ok_reply() {
    let test = TestServices::with_hold().await;
    test.services.fault(release_fault(Effect::reply(4, Some(17))).times(1));
    let reply = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.error.unwrap().code), (ReleaseStatus::Failed, 17));
    test.services.fault(release_fault(Effect::reply(0, None)).times(1));
    let reply = test.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status, reply.error), (0, None));
    assert_eq!(test.services.seat_state("r1"), Some(SeatState::Hold));
    let replies: Vec<_> = test.services.calls().into_iter().map(|call| call.reply).collect();
    assert_eq!(replies, ["FAILED UNAVAILABLE", "UNSPECIFIED"]);
}

#[tokio::test]
async fn a_latency_effect_delays_the_reply() {
    let test = TestServices::with_hold().await;
    for fault in [update_fault(Effect::latency(50)), release_fault(Effect::latency(50))] {
        test.services.fault(fault.times(1));
    }
    let start = Instant::now();
    assert_eq!(test.update("r1", "k", expired()).await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
    test.release(release("r1", &SEATS)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_done_then_effect_performs_the_operation_and_loses_the_reply() {
    for lost in [Effect::http(503), Effect::Reset] {
        let test = TestServices::with_hold().await;
        test.services.fault(update_fault(Effect::done_then(lost)).times(1));
        let reply = test.patch("r1", "k", expired()).send().await;
        assert!(reply.is_err() || reply.unwrap().status() == 503);
        assert_eq!(test.services.reservation("r1").unwrap().status, Status::Expired);
        assert_eq!(
            test.update("r1", "k", expired()).await.0,
            200,
            "the repeated request gets the earlier reply"
        );
    }
    for lost in [Effect::grpc(14), Effect::Reset, Effect::reply(0, Some(17))] {
        let test = TestServices::with_hold().await;
        let fault = Fault::on(Operation::CommitReservation, "r1", Effect::done_then(lost)).times(1);
        test.services.fault(fault);
        let reply = test.commit(commit("r1", &SEATS)).await;
        assert!(reply.is_err() || reply.unwrap().error.is_some());
        assert_eq!(test.services.seat_state("r1"), Some(SeatState::Sold));
        assert!(test.commit(commit("r1", &SEATS)).await.unwrap().error.is_none());
    }
}

#[tokio::test]
async fn a_hang_effect_suppresses_the_reply() {
    let test = TestServices::with_hold().await;
    test.services.fault(update_fault(Effect::Hang));
    test.services.fault(release_fault(Effect::done_then(Effect::Hang)));
    let both_hang = || test.services.calls().iter().filter(|call| call.reply == "hang").count() == 2;
    tokio::select! {
        _ = test.update("r1", "k", expired()) => panic!("a reply"),
        _ = test.release(release("r1", &SEATS)) => panic!("a reply"),
        () = until(both_hang) => {}
    }
    assert_eq!(test.services.reservation("r1").unwrap().status, Status::Hold);
    assert_eq!(
        test.services.seat_state("r1"),
        Some(SeatState::Available),
        "the release was performed before the hang"
    );
}

#[tokio::test]
async fn a_call_whose_caller_disconnects_is_recorded_as_abandoned() {
    let test = TestServices::with_hold().await;
    test.services.fault(update_fault(Effect::latency(60_000)));
    test.services.fault(release_fault(Effect::latency(60_000)));
    tokio::select! {
        _ = test.update("r1", "k", expired()) => panic!("a reply"),
        _ = test.release(release("r1", &SEATS)) => panic!("a reply"),
        () = until(|| test.services.calls().len() == 2) => {}
    }
    until(|| test.services.calls().iter().all(|call| call.reply == "abandoned")).await;
}

#[tokio::test]
async fn the_peak_counts_concurrent_calls_over_both_services() {
    let test = TestServices::with_hold().await;
    for _ in 0..3 {
        test.update("r1", "k", expired()).await;
    }
    assert_eq!(test.services.peak_in_flight(), 1);
    test.services.fault(update_fault(Effect::Hang));
    test.services.fault(release_fault(Effect::Hang));
    tokio::select! {
        _ = join_all((0..5).map(|_| test.update("r1", "k", expired()))) => panic!("a reply"),
        _ = join_all((0..4).map(|_| test.release(release("r1", &SEATS)))) => panic!("a reply"),
        () = until(|| test.services.peak_in_flight() == 9) => {}
    }
}

#[test]
fn a_fault_has_a_json_representation() {
    let json = json!({
        "operation": "update-status", "reservation_id": "r1", "times": 1, "effect": {"http": {"status": 503}},
    });
    let fault: Fault = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(fault, update_fault(Effect::http(503)).times(1));
    assert_eq!(serde_json::to_value(fault).unwrap(), json);
    let json = json!({"effect": {"done-then": {"effect": "hang"}}});
    let fault: Fault = serde_json::from_value(json).unwrap();
    assert_eq!(fault.effect, Effect::done_then(Effect::Hang));
    assert!(serde_json::from_value::<Fault>(json!({"effect": "hang", "time": 1})).is_err());
}

#[tokio::test]
async fn a_fault_of_a_service_affects_each_of_its_operations_until_it_is_ended() {
    let test = TestServices::with_hold().await;
    test.services.fault(Fault::of_service(Service::ReservationApi, Effect::http(503)));
    test.services.fault(Fault::of_service(Service::Inventory, Effect::grpc(14)));
    assert_eq!(test.update("r1", "k", expired()).await.0, 503);
    assert!(test.release(release("r1", &SEATS)).await.is_err());

    test.services.end_faults(Service::Inventory);
    assert_eq!(test.services.faults().len(), 1);
    assert!(test.release(release("r1", &SEATS)).await.is_ok());
    assert_eq!(test.update("r1", "k", expired()).await.0, 503);
}
