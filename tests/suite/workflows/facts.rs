//! What an event does not say of its seats is taken from the reservation: in the reply to the status update,
//! else read. A redelivery asks the inventory for the same.

use std::slice;

use reservation_worker_local::{Effect, Fault, Hold, SeatState};
use serde_json::{Value, json};

use super::deliver;
use crate::table::{
    GET, Kind, PATCH, Row, app_with_generous_limits, assert_seats_match_status, check_rows,
    inventory_requests, operations, reply, success_with_body, without_facts,
};
use crate::test_app::{TestApp, approved};

const LONGEST_BODY: usize = 64 * 1024;

/// What the reservation API replies about `r1`, padded to this many bytes.
fn reservation(bytes: usize) -> String {
    let mut reservation = json!({
        "reservation_id": "r1", "event_id": "evt_1", "user_id": "user_1", "status": "CONFIRMED",
        "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 2, "notes": "",
    });
    let short = reservation.to_string().len();
    reservation["notes"] = json!("x".repeat(bytes.saturating_sub(short)));
    reservation.to_string()
}

/// The request of an event that says everything.
async fn full_request(kind: Kind) -> Value {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    assert_eq!(deliver(&app, "m-1", kind.event("r1")).await.0, "success");
    inventory_requests(&app, "r1").remove(0)
}

#[tokio::test]
async fn missing_facts_are_taken_from_the_reply_to_the_status_update() {
    let lacking: [&[&str]; 5] = [
        &["seat_ids"],
        &["event_id"],
        &["event_id", "seat_ids"],
        &["event_id", "seat_ids", "user_id"],
        &["seat_ids", "user_id"],
    ];
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        for lacking in lacking {
            if kind == Kind::Expired && lacking.contains(&"event_id") {
                continue; // an expiry always names it
            }
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            let (outcome, reason) = deliver(&app, "m-1", without_facts(kind.event("r1"), lacking)).await;
            assert_eq!(outcome, "success", "{kind:?} without {lacking:?}: {reason}");
            assert_eq!(operations(&app, "r1"), [PATCH, kind.inventory_call()]);
            assert_eq!(
                inventory_requests(&app, "r1"),
                slice::from_ref(&full),
                "{kind:?} without {lacking:?}"
            );
            assert_seats_match_status(&app, "r1");
        }
    }
}

#[tokio::test]
async fn facts_that_are_empty_are_missing() {
    for kind in Kind::ALL {
        let full = full_request(kind).await;
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        let mut event = kind.event("r1");
        event["detail"]["seat_ids"] = json!([]);
        if kind != Kind::Expired {
            event["detail"]["event_id"] = json!("");
            event["detail"]["user_id"] = json!(null);
        }
        let (outcome, reason) = deliver(&app, "m-1", event).await;
        assert_eq!(outcome, "success", "{reason}");
        assert_eq!(inventory_requests(&app, "r1"), [full]);
    }
}

#[tokio::test]
async fn the_reservation_is_read_when_the_reply_to_the_status_update_holds_none() {
    let replies = [
        ("empty", Effect::EmptyBody),
        ("204", Effect::done_then(Effect::http(204))),
        ("not JSON", success_with_body("OK")),
        ("HTML", success_with_body("<html>OK</html>")),
        ("no object", success_with_body("true")),
        ("an object of nothing", success_with_body("{}")),
        (
            "another reservation",
            success_with_body(r#"{"reservation_id": "r2", "event_id": "evt_2", "seat_ids": ["A-1"]}"#),
        ),
        ("half of one", success_with_body(r#"{"event_id": "evt_1", "seat_ids": ["r1/A"#)),
        ("without seats", success_with_body(r#"{"event_id": "evt_1", "seat_ids": [], "quantity": 0}"#)),
        ("too long", success_with_body(reservation(LONGEST_BODY + 1))),
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
async fn a_reply_of_the_longest_length_is_read() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let body = reservation(LONGEST_BODY);
    assert_eq!(body.len(), LONGEST_BODY);
    app.services.fault(Fault::any(PATCH, success_with_body(body)));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, Kind::Approved.inventory_call()]);
}

#[tokio::test]
async fn a_reservation_that_is_too_long_to_read_comes_again() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
    app.services.fault(Fault::any(GET, success_with_body(reservation(LONGEST_BODY + 1))));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "retried");
    assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
}

#[tokio::test]
async fn a_redelivery_reads_the_reservation_and_makes_the_same_request() {
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
async fn what_the_event_says_wins_over_what_the_reservation_says() {
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
    for (lacking, expected) in cases {
        for read in [false, true] {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            let in_reply = if read { Effect::EmptyBody } else { success_with_body(&other) };
            app.services.fault(Fault::any(PATCH, in_reply));
            app.services.fault(Fault::any(GET, success_with_body(&other)));
            app.services.fault(Fault::any(Kind::Approved.inventory_call(), Effect::reply(1, None)));
            assert_eq!(deliver(&app, "m-1", without_facts(approved("r1"), lacking)).await.0, "success");
            let request = inventory_requests(&app, "r1").remove(0);
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(request[field], *value, "{field}, without {lacking:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_reply_and_the_read_reservation_complete_each_other() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let of_reply = json!({"event_id": "evt_1"});
    let of_read =
        json!({"event_id": "evt_1", "user_id": "user_1", "seat_ids": ["r1/A-1", "r1/A-2"], "quantity": 7});
    app.services.fault(Fault::any(PATCH, success_with_body(of_reply)));
    app.services.fault(Fault::any(GET, success_with_body(of_read)));
    assert_eq!(deliver(&app, "m-1", Kind::Approved.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, GET, Kind::Approved.inventory_call()]);
    // The seats win over a quantity that disagrees with them.
    assert_eq!(inventory_requests(&app, "r1"), [full_request(Kind::Approved).await]);
}

#[tokio::test]
async fn a_payer_whom_neither_event_nor_reply_names_is_read_with_the_rest() {
    // A redelivery, which reads the reservation, must ask the inventory for the same.
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let of_reply = json!({"event_id": "evt_1", "seat_ids": ["r1/A-1", "r1/A-2"]});
    app.services.fault(Fault::any(PATCH, success_with_body(of_reply)).times(1));
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
async fn what_cannot_be_read_of_a_reservation_does_not_cost_the_rest() {
    let app = app_with_generous_limits(&[]).await;
    app.hold("r1");
    let odd = json!({
        "reservation_id": "r1", "event_id": "evt_1", "user_id": 17, "status": null, "quantity": "two",
        "seat_ids": ["r1/A-1", "r1/A-2"], "order_id": {"no": "text"},
    });
    app.services.fault(Fault::any(PATCH, success_with_body(odd)));
    assert_eq!(deliver(&app, "m-1", Kind::Failed.event_without_facts("r1")).await.0, "success");
    assert_eq!(operations(&app, "r1"), [PATCH, Kind::Failed.inventory_call()]);
    assert_eq!(inventory_requests(&app, "r1"), [full_request(Kind::Failed).await]);
}

#[tokio::test]
async fn seats_that_cannot_be_read_are_never_settled_by_number() {
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

/// A hold of three places of any kind.
fn quantity_hold(app: &TestApp) {
    let (reservation_id, event_id) = ("r1".to_owned(), "evt_1".to_owned());
    let user_id = Some("user_1".to_owned());
    let hold = Hold { reservation_id, event_id, user_id, seat_ids: Vec::new(), quantity: Some(3) };
    app.services.create_hold(hold).unwrap();
}

#[tokio::test]
async fn a_hold_of_so_many_places_is_settled_by_number() {
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
            if kind == Kind::Expired && facts["event_id"].is_null() {
                continue;
            }
            let app = app_with_generous_limits(&[]).await;
            quantity_hold(&app);
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
async fn a_reservation_without_event_or_seats_fails_the_record_and_is_not_forgotten() {
    let nothing = [
        json!({}),
        json!({"event_id": "evt_1"}),
        json!({"event_id": "evt_1", "seat_ids": [], "quantity": 0}),
        json!({"event_id": "evt_1", "seat_ids": null, "quantity": -1}),
    ];
    let no_event =
        [json!({"seat_ids": ["A-1"], "quantity": 1}), json!({"event_id": "", "seat_ids": ["A-1"]})];
    let rows = nothing.iter().flat_map(|body| Kind::ALL.map(|kind| (kind, body)));
    let no_event = no_event.iter().flat_map(|body| [Kind::Approved, Kind::Failed].map(|kind| (kind, body)));
    let rows = rows.chain(no_event).map(|(kind, body)| {
        Row::for_event(format!("{kind:?} {body}"), move |id| kind.event_without_facts(id))
            .fault(PATCH, success_with_body(body))
            .fault(GET, reply(200, body))
            .expects("failed", [PATCH, GET])
            .reason_contains("reservation")
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_reservation_that_cannot_be_read_now_leaves_the_event_on_the_queue_until_it_can() {
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
