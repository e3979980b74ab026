//! The attempts of an inventory call: their number, their requests, and attempts without a reply.

use reservation_worker_local::{Effect, Fault, SeatState, Service, Status};

use super::{Transient, rows};
use crate::table::{Kind, PATCH, Row, app_with_generous_limits, check_rows, operations};
use crate::test_app::sqs;

#[tokio::test]
async fn a_call_without_a_reply_in_time_is_attempted_three_times_and_the_record_is_retried() {
    let rows = rows(&Effect::Hang, Transient, Transient)
        .into_iter()
        .map(|row| row.reason_contains("DEADLINE_EXCEEDED"));
    check_rows(&app_with_generous_limits(&[("INVENTORY_TIMEOUT_MS", "300")]).await, rows).await;
}

#[tokio::test]
async fn a_call_whose_connection_is_reset_is_attempted_three_times_and_the_record_is_retried() {
    // Each row is a batch of its own, because the records of a batch share the connection.
    for row in rows(&Effect::Reset, Transient, Transient) {
        check_rows(&app_with_generous_limits(&[]).await, [row]).await;
    }
}

#[tokio::test]
async fn if_the_inventory_is_stopped_the_status_is_updated_and_the_record_is_retried() {
    let app = app_with_generous_limits(&[]).await;
    app.services.stop(Service::Inventory).await;
    let rows = Kind::ALL
        .map(|kind| Row::new(kind, "stopped").expects("retried", [PATCH]).reason_contains("inventory: "));
    check_rows(&app, rows).await;
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let id = format!("row-{number}");
        assert_eq!(app.services.reservation(&id).unwrap().status, kind.target_status());
        assert_eq!(app.services.seat_state(&id), Some(SeatState::Hold));
    }
}

#[tokio::test]
async fn the_reason_states_why_the_inventory_cannot_be_reached() {
    let app = app_with_generous_limits(&[]).await;
    app.services.stop(Service::Inventory).await;
    let row = Row::new(Kind::Approved, "stopped").expects("retried", [PATCH]);
    check_rows(&app, [row.reason_contains("refused")]).await;
    let row = Row::new(Kind::Approved, "reset").fault(Kind::Approved.inventory_call(), Effect::Reset);
    let calls = [vec![PATCH], vec![Kind::Approved.inventory_call(); 3]].concat();
    check_rows(
        &app_with_generous_limits(&[]).await,
        [row.expects("retried", calls).reason_contains("reset")],
    )
    .await;
}

#[tokio::test]
async fn after_one_or_two_transient_faults_an_attempt_with_the_same_request_succeeds() {
    let faults = [
        Effect::grpc(14),
        Effect::grpc(13),
        Effect::reply(0, Some(17)),
        Effect::reply(9, None),
        Effect::Reset,
        Effect::done_then(Effect::grpc(14)),
        Effect::done_then(Effect::Reset),
    ];
    for effect in faults {
        for fault_count in [1, 2] {
            let app = app_with_generous_limits(&[]).await;
            for kind in Kind::ALL {
                let id = format!("{kind:?}");
                app.hold(&id);
                let fault = Fault::on(kind.inventory_call(), &id, effect.clone()).times(fault_count);
                app.services.fault(fault);

                let run = app.run(sqs([("m-1", kind.event(&id))])).await;

                assert_eq!(run.outcome("m-1"), "success", "{kind:?} {effect:?} {fault_count}");
                let attempts = fault_count as usize + 1;
                let expected = [vec![PATCH], vec![kind.inventory_call(); attempts]].concat();
                assert_eq!(operations(&app, &id), expected, "{effect:?}");
                let calls = app.services.calls_for(&id);
                for retry in &calls[2..] {
                    assert_eq!(
                        retry.body, calls[1].body,
                        "a retry sends the same idempotency key and fields"
                    );
                }
                assert_eq!(app.services.seat_state(&id), Some(kind.final_seat_state()));
                assert_eq!(app.services.unused_faults(), 0);
            }
        }
    }
}

#[tokio::test]
async fn after_a_time_out_of_the_first_attempt_the_second_attempt_succeeds() {
    let app = app_with_generous_limits(&[("INVENTORY_TIMEOUT_MS", "1000")]).await;
    for kind in Kind::ALL {
        app.hold(&format!("{kind:?}"));
        app.services.fault(Fault::on(kind.inventory_call(), &format!("{kind:?}"), Effect::Hang).times(1));
    }
    let ids = Kind::ALL.map(|kind| (format!("{kind:?}"), kind));
    let run = app.run(sqs(ids.iter().map(|(id, kind)| (id.as_str(), kind.event(id))))).await;
    for (id, kind) in &ids {
        assert_eq!(run.outcome(id), "success");
        let inventory_call = kind.inventory_call();
        assert_eq!(operations(&app, id), [PATCH, inventory_call, inventory_call]);
    }
}

#[tokio::test]
async fn sold_seats_are_never_released() {
    for kind in [Kind::Expired, Kind::Failed] {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        let run = app.run(sqs([("m-1", Kind::Approved.event("r1"))])).await;
        assert_eq!(run.outcome("m-1"), "success");
        // A person has set the status back to HOLD. Only the inventory can refuse the release now.
        app.services.set_reservation_status("r1", Status::Hold);

        let run = app.run(sqs([("m-2", kind.event("r1"))])).await;

        assert_eq!(run.outcome("m-2"), "failed");
        assert!(run.reason("m-2").contains("FAILED_PRECONDITION"), "{}", run.reason("m-2"));
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Sold));
    }
}

#[tokio::test]
async fn a_commit_of_released_seats_fails_the_record() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let run = app.run(sqs([("m-1", Kind::Expired.event("r1"))])).await;
    assert_eq!(run.outcome("m-1"), "success");
    app.services.set_reservation_status("r1", Status::Hold);

    let run = app.run(sqs([("m-2", Kind::Approved.event("r1"))])).await;

    assert_eq!(run.outcome("m-2"), "failed");
    assert!(run.reason("m-2").contains("COMMIT_STATUS_FAILED_EXPIRED"), "{}", run.reason("m-2"));
    assert_eq!(run.returned(), ["m-2"]);
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Available));
}
