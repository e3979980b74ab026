use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reservation_worker_local::proto::reservation::v1::ReleaseStatus;
use reservation_worker_local::{Effect, Fault, Operation, SeatState, Status};
use serde_json::json;
use tonic::Code;

use crate::client::{TestServices, commit, confirmed, expired, hold, release, until};

const SEATS: [&str; 2] = ["A-1", "A-2"];

fn update(effect: Effect) -> Fault {
    Fault::on(Operation::UpdateStatus, "r1", effect)
}

fn releasing(effect: Effect) -> Fault {
    Fault::on(Operation::ReleaseHold, "r1", effect)
}

#[tokio::test]
async fn a_fault_strikes_what_it_was_asked_for_as_often_as_asked_in_the_order_asked() {
    let desk = TestServices::with_hold().await;
    desk.services.create_hold(hold("r2", &["B-1"])).unwrap();
    desk.services.fault(update(Effect::http(503)).times(2));
    desk.services.fault(Fault::any(Operation::UpdateStatus, Effect::http_code(429, "RATE_LIMITED")).times(2));
    assert_eq!(desk.services.unused_faults(), 2);
    let limited = (429, "RATE_LIMITED".to_owned());
    assert_eq!(desk.update("r1", "k", expired()).await.0, 503);
    assert_eq!(desk.update("r2", "k2", expired()).await, limited);
    assert_eq!(desk.update("r1", "k", expired()).await.0, 503);
    assert_eq!(desk.services.unused_faults(), 1);
    assert_eq!(desk.update("r1", "k", expired()).await, limited);
    assert_eq!(desk.services.unused_faults(), 0);
    assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Hold, "no work under a fault");
    assert_eq!(desk.update("r1", "k", expired()).await.0, 200);

    desk.services.fault(releasing(Effect::grpc(14)));
    for _ in 0..3 {
        assert_eq!(desk.release(release("r1", &SEATS)).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(desk.services.unused_faults(), 0, "it has no count to use up");
    desk.services.clear_faults();
    assert_eq!(desk.release(release("r1", &SEATS)).await.unwrap().status(), ReleaseStatus::Success);
    let replies: Vec<_> = desk.services.calls_for("r1").into_iter().map(|call| call.reply).collect();
    let expected =
        ["503", "503", "429 RATE_LIMITED", "200", "UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE", "SUCCESS"];
    assert_eq!(replies, expected);
}

#[tokio::test]
async fn an_effect_strikes_only_the_service_that_speaks_its_protocol() {
    let desk = TestServices::with_hold().await;
    desk.services.fault(Fault {
        operation: None,
        reservation_id: None,
        times: None,
        effect: Effect::grpc(14),
    });
    assert_eq!(desk.update("r1", "k", expired()).await.0, 200);
    assert!(desk.release(release("r1", &SEATS)).await.is_err());
}

#[tokio::test]
async fn http_replies_of_any_kind() {
    let desk = TestServices::with_hold().await;
    let busy = Effect::http_code(503, "BUSY").with_retry_after("7").with_location("/elsewhere");
    desk.services.fault(update(busy).times(1));
    let reply = desk.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(reply.status(), 503);
    assert_eq!(reply.headers()["retry-after"], "7");
    assert_eq!(reply.headers()["location"], "/elsewhere");

    let page = Effect::HttpBody { status: 502, content_type: "text/html".into(), body: "<html>".into() };
    desk.services.fault(update(page).times(1));
    let reply = desk.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-type"]),
        (502, &"text/html".parse().unwrap())
    );
    assert_eq!(reply.text().await.unwrap(), "<html>");
    assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Hold);

    desk.services.fault(update(Effect::EmptyBody).times(1));
    let reply = desk.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (200, ""));
    assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Expired, "the work was done");

    let odd = Effect::Body { content_type: "text/plain".into(), body: "done".into() };
    desk.services.fault(update(odd).times(2));
    let reply = desk.patch("r1", "k", expired()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (200, "done"));
    let refused = desk.update("r1", "k2", confirmed()).await;
    assert_eq!(refused, (409, "RESERVATION_EXPIRED".to_owned()), "a refusal is not turned into a success");
}

#[tokio::test]
async fn a_grpc_reply_can_be_ok_and_a_failure() {
    let desk = TestServices::with_hold().await;
    desk.services.fault(releasing(Effect::reply(4, Some(17))).times(1));
    let reply = desk.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status(), reply.error.unwrap().code), (ReleaseStatus::Failed, 17));
    desk.services.fault(releasing(Effect::reply(0, None)).times(1));
    let reply = desk.release(release("r1", &SEATS)).await.unwrap();
    assert_eq!((reply.status, reply.error), (0, None));
    assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Hold));
    let replies: Vec<_> = desk.services.calls().into_iter().map(|call| call.reply).collect();
    assert_eq!(replies, ["FAILED UNAVAILABLE", "UNSPECIFIED"]);
}

#[tokio::test]
async fn a_reply_can_be_late() {
    let desk = TestServices::with_hold().await;
    for fault in [update(Effect::latency(50)), releasing(Effect::latency(50))] {
        desk.services.fault(fault.times(1));
    }
    let start = Instant::now();
    assert_eq!(desk.update("r1", "k", expired()).await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
    desk.release(release("r1", &SEATS)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_lost_reply_leaves_the_work_done() {
    for lost in [Effect::http(503), Effect::Reset] {
        let desk = TestServices::with_hold().await;
        desk.services.fault(update(Effect::done_then(lost)).times(1));
        let reply = desk.patch("r1", "k", expired()).send().await;
        assert!(reply.is_err() || reply.unwrap().status() == 503);
        assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Expired);
        assert_eq!(desk.update("r1", "k", expired()).await.0, 200, "the key replays it");
    }
    for lost in [Effect::grpc(14), Effect::Reset, Effect::reply(0, Some(17))] {
        let desk = TestServices::with_hold().await;
        let fault = Fault::on(Operation::CommitReservation, "r1", Effect::done_then(lost)).times(1);
        desk.services.fault(fault);
        let reply = desk.commit(commit("r1", &SEATS)).await;
        assert!(reply.is_err() || reply.unwrap().error.is_some());
        assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Sold));
        assert!(desk.commit(commit("r1", &SEATS)).await.unwrap().error.is_none());
    }
}

#[tokio::test]
async fn a_hanging_call_has_no_reply() {
    let desk = TestServices::with_hold().await;
    desk.services.fault(update(Effect::Hang));
    desk.services.fault(releasing(Effect::done_then(Effect::Hang)));
    let hung = || desk.services.calls().iter().filter(|call| call.reply == "hang").count() == 2;
    tokio::select! {
        _ = desk.update("r1", "k", expired()) => panic!("a reply"),
        _ = desk.release(release("r1", &SEATS)) => panic!("a reply"),
        () = until(hung) => {}
    }
    assert_eq!(desk.services.reservation("r1").unwrap().status, Status::Hold);
    assert_eq!(desk.services.seat_state("r1"), Some(SeatState::Available), "done, then hung");
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_reply_is_seen() {
    let desk = TestServices::with_hold().await;
    desk.services.fault(update(Effect::latency(60_000)));
    desk.services.fault(releasing(Effect::latency(60_000)));
    tokio::select! {
        _ = desk.update("r1", "k", expired()) => panic!("a reply"),
        _ = desk.release(release("r1", &SEATS)) => panic!("a reply"),
        () = until(|| desk.services.calls().len() == 2) => {}
    }
    until(|| desk.services.calls().iter().all(|call| call.reply == "abandoned")).await;
}

#[tokio::test]
async fn the_peak_counts_what_is_in_flight_at_once_over_both_services() {
    let desk = TestServices::with_hold().await;
    for _ in 0..3 {
        desk.update("r1", "k", expired()).await;
    }
    assert_eq!(desk.services.peak_in_flight(), 1);
    desk.services.fault(update(Effect::Hang));
    desk.services.fault(releasing(Effect::Hang));
    tokio::select! {
        _ = join_all((0..5).map(|_| desk.update("r1", "k", expired()))) => panic!("a reply"),
        _ = join_all((0..4).map(|_| desk.release(release("r1", &SEATS)))) => panic!("a reply"),
        () = until(|| desk.services.peak_in_flight() == 9) => {}
    }
}

#[test]
fn a_fault_is_written_as_json() {
    let written = json!({
        "operation": "update-status", "reservation_id": "r1", "times": 1, "effect": {"http": {"status": 503}},
    });
    let fault: Fault = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(fault, update(Effect::http(503)).times(1));
    assert_eq!(serde_json::to_value(fault).unwrap(), written);
    let written = json!({"effect": {"done-then": {"effect": "hang"}}});
    let fault: Fault = serde_json::from_value(written).unwrap();
    assert_eq!(fault.effect, Effect::done_then(Effect::Hang));
    assert!(serde_json::from_value::<Fault>(json!({"effect": "hang", "time": 1})).is_err());
}
