//! How often the inventory is asked, and with what; no reply at all.

use reservation_worker_local::{Effect, Fault, SeatState, Service, Status};

use super::{Transient, rows};
use crate::table::{Kind, PATCH, Row, check, operations, patient};
use crate::test_app::sqs;

#[tokio::test]
async fn no_reply_in_time_is_tried_three_times_and_comes_again() {
    let rows =
        rows(&Effect::Hang, Transient, Transient).into_iter().map(|row| row.because("DeadlineExceeded"));
    check(&patient(&[("INVENTORY_TIMEOUT_MS", "300")]).await, rows).await;
}

#[tokio::test]
async fn a_reset_connection_is_tried_three_times_and_comes_again() {
    // One after the other: the records of a batch share the connection.
    for row in rows(&Effect::Reset, Transient, Transient) {
        check(&patient(&[]).await, [row]).await;
    }
}

#[tokio::test]
async fn a_stopped_inventory_comes_again_with_the_status_settled() {
    let app = patient(&[]).await;
    app.services.stop(Service::Inventory).await;
    let rows =
        Kind::ALL.map(|kind| Row::new(kind, "stopped").gives("retried", [PATCH]).because("inventory: "));
    check(&app, rows).await;
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let id = format!("row-{number}");
        assert_eq!(app.services.reservation(&id).unwrap().status, kind.target());
        assert_eq!(app.services.seat_state(&id), Some(SeatState::Hold));
    }
}

#[tokio::test]
async fn the_reason_says_why_the_inventory_cannot_be_reached() {
    let app = patient(&[]).await;
    app.services.stop(Service::Inventory).await;
    let row = Row::new(Kind::Approved, "stopped").gives("retried", [PATCH]);
    check(&app, [row.because("refused")]).await;
    let row = Row::new(Kind::Approved, "reset").fault(Kind::Approved.seat_call(), Effect::Reset);
    let calls = [vec![PATCH], vec![Kind::Approved.seat_call(); 3]].concat();
    check(&patient(&[]).await, [row.gives("retried", calls).because("reset")]).await;
}

#[tokio::test]
async fn a_transient_fault_among_three_tries_costs_nothing_and_each_try_is_the_same_request() {
    let faults = [
        Effect::grpc(14),
        Effect::grpc(16),
        Effect::reply(0, Some(17)),
        Effect::reply(9, None),
        Effect::Reset,
        Effect::done_then(Effect::grpc(14)),
        Effect::done_then(Effect::Reset),
    ];
    for effect in faults {
        for struck in [1, 2] {
            let app = patient(&[]).await;
            for kind in Kind::ALL {
                let id = format!("{kind:?}");
                app.hold(&id);
                let fault = Fault::on(kind.seat_call(), &id, effect.clone()).times(struck);
                app.services.fault(fault);

                let ran = app.run(sqs([("m-1", kind.event(&id))])).await;

                assert_eq!(ran.outcome("m-1"), "success", "{kind:?} {effect:?} {struck}");
                let tries = struck as usize + 1;
                let expected = [vec![PATCH], vec![kind.seat_call(); tries]].concat();
                assert_eq!(operations(&app, &id), expected, "{effect:?}");
                let calls = app.services.calls_for(&id);
                for again in &calls[2..] {
                    assert_eq!(again.body, calls[1].body, "the idempotency key and all else");
                }
                assert_eq!(app.services.seat_state(&id), Some(kind.seats()));
                assert_eq!(app.services.unused_faults(), 0);
            }
        }
    }
}

#[tokio::test]
async fn no_reply_in_time_to_the_first_try_alone_costs_nothing() {
    let app = patient(&[("INVENTORY_TIMEOUT_MS", "1000")]).await;
    for kind in Kind::ALL {
        app.hold(&format!("{kind:?}"));
        app.services.fault(Fault::on(kind.seat_call(), &format!("{kind:?}"), Effect::Hang).times(1));
    }
    let ids = Kind::ALL.map(|kind| (format!("{kind:?}"), kind));
    let ran = app.run(sqs(ids.iter().map(|(id, kind)| (id.as_str(), kind.event(id))))).await;
    for (id, kind) in &ids {
        assert_eq!(ran.outcome(id), "success");
        let seat_call = kind.seat_call();
        assert_eq!(operations(&app, id), [PATCH, seat_call, seat_call]);
    }
}

#[tokio::test]
async fn seats_that_were_sold_are_never_released() {
    for kind in [Kind::Expired, Kind::Failed] {
        let app = patient(&[]).await;
        app.hold("r1");
        let ran = app.run(sqs([("m-1", Kind::Approved.event("r1"))])).await;
        assert_eq!(ran.outcome("m-1"), "success");
        // Somebody moved the reservation by hand: the inventory is the last to say no.
        app.services.set_reservation_status("r1", Status::Hold);

        let ran = app.run(sqs([("m-2", kind.event("r1"))])).await;

        assert_eq!(ran.outcome("m-2"), "failed");
        assert!(ran.reason("m-2").contains("FAILED_PRECONDITION"), "{}", ran.reason("m-2"));
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
    }
}

#[tokio::test]
async fn a_commit_of_released_seats_is_for_a_person_to_look_at() {
    let app = patient(&[]).await;
    app.hold("r1");
    let ran = app.run(sqs([("m-1", Kind::Expired.event("r1"))])).await;
    assert_eq!(ran.outcome("m-1"), "success");
    app.services.set_reservation_status("r1", Status::Hold);

    let ran = app.run(sqs([("m-2", Kind::Approved.event("r1"))])).await;

    assert_eq!(ran.outcome("m-2"), "failed");
    assert!(ran.reason("m-2").contains("COMMIT_STATUS_FAILED_EXPIRED"), "{}", ran.reason("m-2"));
    assert_eq!(ran.returned(), ["m-2"]);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Available));
}
