//! Facts that an event does not contain are taken from the reservation in the reply to the status update. If that is
//! incomplete, the reservation is read. A redelivery sends the same request to the inventory.

use std::slice;

use reservation_worker_local::{Effect, Fault, Hold, SeatState};
use serde_json::{Value, json};

use super::deliver;
use crate::table::{
    GET, Kind, PATCH, Row, app_with_generous_limits, assert_seats_match_status, check_rows,
    inventory_requests, operations, reply, success_with_body, without_facts,
};
use crate::test_app::{TestApp, approved};

const MAX_BODY_BYTES: usize = 64 * 1024;

/// The reservation `r1` as the reservation API returns it, padded to this number of bytes.
fn reservation(bytes: usize) -> String {
    let mut reservation = json!({
        "reservation_id": "r1", "event_id": "evt_1", "user_id": "user_1", "status": "CONFIRMED",
        "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2, "notes": "",
    });
    let unpadded = reservation.to_string().len();
    reservation["notes"] = json!("x".repeat(bytes.saturating_sub(unpadded)));
    reservation.to_string()
}

/// The request to the inventory for an event that contains all facts.
async fn full_request(kind: Kind) -> Value {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    assert_eq!(deliver(&app, "m-1", kind.event("r1")).await.0, "success");
    inventory_requests(&app, "r1").remove(0)
}

#[tokio::test]
async fn missing_facts_are_taken_from_the_reply_to_the_status_update() {
    let missing_facts: [&[&str]; 5] = [
        &["seat_ids"],
        &["event_id"],
        &["event_id", "seat_ids"],
        &["event_id", "seat_ids", "user_id"],
        &["seat_ids", "user_id"],
    ];
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        for missing in missing_facts {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            let (outcome, reason) = deliver(&app, "m-1", without_facts(kind.event("r1"), missing)).await;
            assert_eq!(outcome, "success", "{kind:?} without {missing:?}: {reason}");
            assert_eq!(operations(&app, "r1"), [PATCH, kind.inventory_call()]);
            assert_eq!(
                inventory_requests(&app, "r1"),
                slice::from_ref(&full),
                "{kind:?} without {missing:?}"
            );
            assert_seats_match_status(&app, "r1");
        }
    }
}

#[tokio::test]
async fn the_reservation_may_be_in_camel_case_in_the_reply_to_the_status_update_and_when_it_is_read() {
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        for read in [false, true] {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            app.services.fault(Fault::any(PATCH, if read { Effect::EmptyBody } else { Effect::CamelCase }));
            app.services.fault(Fault::any(GET, Effect::CamelCase));
            let (outcome, reason) = deliver(&app, "m-1", kind.event_without_facts("r1")).await;
            assert_eq!(outcome, "success", "{kind:?}: {reason}");
            let reads = if read { vec![PATCH, GET] } else { vec![PATCH] };
            assert_eq!(operations(&app, "r1"), [reads, vec![kind.inventory_call()]].concat(), "{kind:?}");
            assert_eq!(inventory_requests(&app, "r1"), slice::from_ref(&full), "{kind:?}");
            assert_seats_match_status(&app, "r1");
        }
    }
}

#[tokio::test]
async fn each_field_of_a_reservation_is_read_in_either_spelling_and_snake_case_takes_precedence() {
    let seats = json!(["r1/A-1", "r1/A-2"]);
    let reservations = [
        json!({"reservationId": "r1", "eventId": "evt_1", "userId": "user_1", "seatIds": seats, "quantity": 2}),
        json!({"event_id": "evt_1", "userId": "user_1", "seat_ids": seats}),
        json!({"eventId": "evt_1", "user_id": "user_1", "seatIds": seats, "seat_ids": null}),
        json!({"event_id": "evt_1", "eventId": "evt_2", "user_id": "user_1", "userId": "user_2", "seat_ids": seats, "seatIds": ["B-1"]}),
    ];
    for body in reservations {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        app.services.fault(Fault::any(PATCH, success_with_body(&body)));
        assert_eq!(
            deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0,
            "success",
            "{body}"
        );
        assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.inventory_call()], "{body}");
        assert_eq!(inventory_requests(&app, "r1"), [full_request(Kind::Approved).await], "{body}");
    }
}

#[tokio::test]
async fn a_status_in_camel_case_decides_after_a_conflict() {
    for kind in Kind::ALL {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        app.services.set_reservation_status("r1", kind.target_status());
        app.services.fault(Fault::any(PATCH, Effect::http_code(409, "OTHER")));
        app.services.fault(Fault::any(GET, Effect::CamelCase));
        assert_eq!(deliver(&app, "m-1", kind.event("r1")).await.0, "success");
        assert_eq!(operations(&app, "r1"), [PATCH, GET, kind.inventory_call()]);
    }
}

#[tokio::test]
async fn empty_facts_count_as_missing() {
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        let mut event = kind.event("r1");
        event["detail"]["seat_ids"] = json!([]);
        event["detail"]["event_id"] = json!("");
        event["detail"]["user_id"] = json!(null);
        let (outcome, reason) = deliver(&app, "m-1", event).await;
        assert_eq!(outcome, "success", "{reason}");
        assert_eq!(inventory_requests(&app, "r1"), [full]);
    }
}

#[tokio::test]
async fn the_reservation_is_read_if_the_reply_to_the_status_update_does_not_contain_it() {
    let replies = [
        ("empty", Effect::EmptyBody),
        ("204", Effect::done_then(Effect::http(204))),
        ("not JSON", success_with_body("OK")),
        ("HTML", success_with_body("<html>OK</html>")),
        ("not an object", success_with_body("true")),
        ("an empty object", success_with_body("{}")),
        (
            "another reservation",
            success_with_body(r#"{"reservation_id": "r2", "event_id": "evt_2", "seat_ids": ["A-1"]}"#),
        ),
        (
            "another reservation in camelCase",
            success_with_body(r#"{"reservationId": "r2", "eventId": "evt_2", "seatIds": ["A-1"]}"#),
        ),
        ("a truncated reservation", success_with_body(r#"{"event_id": "evt_1", "seat_ids": ["r1/A"#)),
        ("without seats", success_with_body(r#"{"event_id": "evt_1", "seat_ids": [], "quantity": 0}"#)),
        ("too long", success_with_body(reservation(MAX_BODY_BYTES + 1))),
        ("much too long", success_with_body(reservation(4 * 1024 * 1024))),
    ];
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        for (name, reply) in &replies {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            app.services.fault(Fault::any(PATCH, reply.clone()));
            let (outcome, reason) = deliver(&app, "m-1", kind.event_without_facts("r1")).await;
            assert_eq!(outcome, "success", "{kind:?} {name}: {reason}");
            assert_eq!(operations(&app, "r1"), [PATCH, GET, kind.inventory_call()], "{name}");
            assert_eq!(inventory_requests(&app, "r1"), slice::from_ref(&full), "{name}");
            assert_seats_match_status(&app, "r1");
        }
    }
}

#[tokio::test]
async fn a_reply_of_the_maximum_length_is_read() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let body = reservation(MAX_BODY_BYTES);
    assert_eq!(body.len(), MAX_BODY_BYTES);
    app.services.fault(Fault::any(PATCH, success_with_body(body)));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.inventory_call()]);
}

#[tokio::test]
async fn an_event_whose_reservation_exceeds_the_maximum_length_is_retried() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
    app.services.fault(Fault::any(GET, success_with_body(reservation(MAX_BODY_BYTES + 1))));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "retried");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
}

#[tokio::test]
async fn a_redelivery_reads_the_reservation_and_sends_the_same_request() {
    for kind in Kind::ALL {
        for lost in [Effect::grpc(14), Effect::done_then(Effect::grpc(14))] {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            app.services.fault(Fault::any(kind.inventory_call(), lost).times(3));
            let event = kind.event_without_facts("r1");
            assert_eq!(deliver(&app, "m-1", event.clone()).await.0, "retried");
            app.services.fault(Fault::any(PATCH, kind.already_in_target_status()));
            assert_eq!(deliver(&app, "m-2", event).await.0, "success");
            let seats = kind.inventory_call();
            assert_eq!(operations(&app, "r1"), [PATCH, seats, seats, seats, PATCH, GET, seats]);
            let requests = inventory_requests(&app, "r1");
            assert!(requests.iter().all(|request| *request == requests[0]), "{requests:#?}");
            assert_seats_match_status(&app, "r1");
        }
    }
}

#[tokio::test]
async fn facts_of_the_event_take_precedence_over_those_of_the_reservation() {
    let other = json!({
        "reservation_id": "r1", "event_id": "evt_other", "user_id": "user_other", "status": "CONFIRMED",
        "seat_ids": ["other"], "quantity": 1,
    });
    let cases: [(&[&str], Value); 4] = [
        (
            &[],
            json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2, "user_id": "user_1"}),
        ),
        (
            &["event_id"],
            json!({"event_id": "evt_other", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2, "user_id": "user_1"}),
        ),
        (
            &["seat_ids"],
            json!({"event_id": "evt_1", "seat_ids": ["other"], "quantity": 1, "user_id": "user_1"}),
        ),
        (
            &["seat_ids", "user_id"],
            json!({"event_id": "evt_1", "seat_ids": ["other"], "quantity": 1, "user_id": "user_other"}),
        ),
    ];
    for (missing, expected) in cases {
        for read in [false, true] {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            let in_reply = if read { Effect::EmptyBody } else { success_with_body(&other) };
            app.services.fault(Fault::any(PATCH, in_reply));
            app.services.fault(Fault::any(GET, success_with_body(&other)));
            app.services.fault(Fault::any(Kind::Approved.inventory_call(), Effect::reply(1, None)));
            assert_eq!(deliver(&app, "m-1", without_facts(approved("r1"), missing)).await.0, "success");
            let request = inventory_requests(&app, "r1").remove(0);
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(request[field], *value, "{field}, without {missing:?}");
            }
        }
    }
}

#[tokio::test]
async fn facts_of_the_reply_and_of_the_reservation_that_is_read_are_combined() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let in_reply = json!({"event_id": "evt_1"});
    let when_read =
        json!({"event_id": "evt_1", "user_id": "user_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 7});
    app.services.fault(Fault::any(PATCH, success_with_body(in_reply)));
    app.services.fault(Fault::any(GET, success_with_body(when_read)));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, GET, Kind::Approved.inventory_call()]);
    // The seats take precedence over a quantity that disagrees with them.
    assert_eq!(inventory_requests(&app, "r1"), [full_request(Kind::Approved).await]);
}

#[tokio::test]
async fn a_user_id_that_neither_event_nor_reply_contains_is_read_from_the_reservation() {
    // A redelivery reads the reservation and must send the same request to the inventory.
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let in_reply = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"]});
    app.services.fault(Fault::any(PATCH, success_with_body(in_reply)).times(1));
    app.services.fault(Fault::any(PATCH, Kind::Approved.already_in_target_status()));
    app.services
        .fault(Fault::any(Kind::Approved.inventory_call(), Effect::done_then(Effect::grpc(14))).times(3));
    let event = Kind::Approved.event_without_facts("r1");
    assert_eq!(deliver(&app, "m-1", event.clone()).await.0, "retried");
    assert_eq!(deliver(&app, "m-2", event).await.0, "success");
    let requests = inventory_requests(&app, "r1");
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| *request == requests[0]), "{requests:#?}");
    assert_eq!(requests[0]["user_id"], "user_1");
}

#[tokio::test]
async fn an_unreadable_field_of_a_reservation_does_not_discard_its_other_fields() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let with_unreadable_fields = json!({
        "reservation_id": "r1", "event_id": "evt_1", "user_id": 17, "status": null, "quantity": "two",
        "seat_ids": ["r1/A-1", "r1/A-2"], "order_id": {"no": "text"},
    });
    app.services.fault(Fault::any(PATCH, success_with_body(with_unreadable_fields)));
    assert_eq!(deliver(&app, "m-1", Kind::Failed.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, Kind::Failed.inventory_call()]);
    assert_eq!(inventory_requests(&app, "r1"), [full_request(Kind::Failed).await]);
}

#[tokio::test]
async fn unreadable_seat_ids_are_never_replaced_by_a_quantity() {
    let seats = [json!("A-1"), json!([17]), json!(["A-1", ""]), json!({"A-1": true}), json!([["A-1"]])];
    let rows = seats.into_iter().flat_map(|seats| {
        Kind::ALL.map(|kind| {
            let body = json!({"event_id": "evt_1", "seat_ids": seats, "quantity": 2, "user_id": "user_1"});
            Row::for_event(format!("{kind:?} {seats}"), move |id| kind.event_without_facts(id))
                .fault(PATCH, success_with_body(&body))
                .fault(GET, reply(200, body))
                .expects("failed", [PATCH, GET])
        })
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

/// Creates a hold of three seats without seat ids.
fn create_quantity_hold(app: &TestApp) {
    let (reservation_id, event_id) = ("r1".to_owned(), "evt_1".to_owned());
    let user_id = Some("user_1".to_owned());
    let hold = Hold { reservation_id, event_id, user_id, seat_ids: Vec::new(), quantity: Some(3) };
    app.services.create_hold(hold).unwrap();
}

#[tokio::test]
async fn a_quantity_based_hold_is_released_or_committed_by_quantity() {
    for kind in Kind::ALL {
        for (facts, in_reply, calls) in [
            (json!({"event_id": "evt_1", "qty": 3}), true, vec![PATCH]),
            (json!({"event_id": "evt_1", "quantity": 3}), true, vec![PATCH]),
            (json!({"event_id": "evt_1", "quantity": 3, "seat_ids": []}), true, vec![PATCH]),
            (json!({"event_id": "evt_1", "qty": 3}), false, vec![PATCH]),
            (json!({"event_id": "evt_1"}), true, vec![PATCH]),
            (json!({"event_id": "evt_1", "seat_ids": []}), false, vec![PATCH, GET]),
            (json!({"qty": 3}), true, vec![PATCH]),
            (json!({"qty": 3}), false, vec![PATCH, GET]),
            (json!({}), true, vec![PATCH]),
            (json!({}), false, vec![PATCH, GET]),
        ] {
            let app = app_with_generous_limits(&[]).await;
            create_quantity_hold(&app);
            if !in_reply {
                app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
            }
            let mut event = without_facts(kind.event("r1"), &["event_id", "seat_ids"]);
            let detail = event["detail"].as_object_mut().unwrap();
            detail.extend(facts.as_object().unwrap().clone());

            let (outcome, reason) = deliver(&app, "m-1", event).await;

            assert_eq!(outcome, "success", "{kind:?} {facts}: {reason}");
            let calls = [calls, vec![kind.inventory_call()]].concat();
            assert_eq!(operations(&app, "r1"), calls, "{kind:?} {facts}");
            let request = inventory_requests(&app, "r1").remove(0);
            assert_eq!(request["seat_ids"], json!([]));
            assert_eq!(request["quantity"], 3);
            assert_eq!(request["event_id"], "evt_1");
            assert_seats_match_status(&app, "r1");
            assert_eq!(app.services.seats("r1").len(), 3);
        }
    }
}

#[tokio::test]
async fn a_reservation_without_event_or_seats_fails_and_returns_the_record() {
    let no_seats = [
        json!({}),
        json!({"event_id": "evt_1"}),
        json!({"event_id": "evt_1", "seat_ids": [], "quantity": 0}),
        json!({"event_id": "evt_1", "seat_ids": null, "quantity": -1}),
    ];
    let no_event =
        [json!({"seat_ids": ["A-1"], "quantity": 1}), json!({"event_id": "", "seat_ids": ["A-1"]})];
    let rows = no_seats.iter().chain(&no_event).flat_map(|body| Kind::ALL.map(|kind| (kind, body)));
    let rows = rows.map(|(kind, body)| {
        Row::for_event(format!("{kind:?} {body}"), move |id| kind.event_without_facts(id))
            .fault(PATCH, success_with_body(body))
            .fault(GET, reply(200, body))
            .expects("failed", [PATCH, GET])
            .reason_contains("reservation")
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn an_event_stays_on_the_queue_until_the_reservation_can_be_read() {
    for kind in Kind::ALL {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        app.services.fault(Fault::any(PATCH, Effect::EmptyBody).times(1));
        app.services.fault(Fault::any(PATCH, kind.already_in_target_status()));
        app.services.fault(Fault::any(GET, Effect::http(503)).times(4));
        let event = kind.event_without_facts("r1");
        assert_eq!(deliver(&app, "m-1", event.clone()).await.0, "retried");
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
        assert_eq!(deliver(&app, "m-2", event).await.0, "success");
        let expected = [PATCH, GET, GET, GET, PATCH, GET, GET, kind.inventory_call()];
        assert_eq!(operations(&app, "r1"), expected);
        assert_seats_match_status(&app, "r1");
    }
}
