//! The facts `seat_ids` and `qty` (`quantity`).

use serde_json::{Value, json};

use super::{assert_refused, body, calls_made_for, hold, raw_body, release, run_event, status_update, with};
use crate::test_app::TestApp;

fn expired(facts: Value) -> Value {
    body("reservation.expired", facts)
}

fn strings<const N: usize>(strings: [&str; N]) -> Vec<String> {
    strings.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn valid_seat_ids_are_passed_on_unchanged() {
    let lists = [
        strings(["A-1"]),
        strings(["B-2", "A-1", "A-10"]),
        vec!["x".repeat(64)],
        vec!["席".repeat(64), "😀".repeat(64)],
        strings([" ", "a/b?c", "\"'\\", "좌석 12", "\u{202e}21", "x\ny"]),
        (0..10_000).map(|number| number.to_string()).collect(),
    ];
    let app = TestApp::new().await;
    for (number, seat_ids) in lists.into_iter().enumerate() {
        let id = format!("r{number}");
        hold(&app, &id, &seat_ids, None);
        let calls =
            calls_made_for(&app, &expired(json!({ "reservation_id": id, "seat_ids": seat_ids }))).await;
        let expected =
            [status_update(&id, "EXPIRED", json!({})), release(&id, "EXPIRED", &seat_ids, seat_ids.len())];
        assert_eq!(calls, expected);
    }
}

#[tokio::test]
async fn invalid_seat_ids_are_refused() {
    let refused = [
        ("detail.seat_ids[0]", json!([""])),
        ("detail.seat_ids[1]", json!(["SECRET", ""])),
        ("detail.seat_ids[0]", json!(["x".repeat(65)])),
        ("detail.seat_ids[2]", json!(["SECRET", "b", "席".repeat(65)])),
        ("detail.seat_ids[1]", json!(["SECRET", "SECRET".repeat(20)])),
        ("detail.seat_ids[0]", json!([7])),
        ("detail.seat_ids[1]", json!(["SECRET", null])),
        ("detail.seat_ids[1]", json!(["SECRET", ["SECRET"]])),
        ("detail.seat_ids[0]", json!([{ "SECRET": "SECRET" }])),
        ("detail.seat_ids[0]", json!([true])),
        ("detail.seat_ids", json!("SECRET")),
        ("detail.seat_ids", json!("SECRET,SECRET")),
        ("detail.seat_ids", json!({ "0": "SECRET" })),
        ("detail.seat_ids", json!(7)),
        ("detail.seat_ids", json!(false)),
        ("detail.seat_ids", json!(vec!["SECRET"; 10_001])),
    ];
    let cases = refused.iter().flat_map(|(path, seat_ids)| {
        let types = ["reservation.expired", "payment.approved", "payment.failed"];
        types.map(|event_type| (path, body(event_type, json!({ "seat_ids": seat_ids }))))
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn the_reason_states_why_a_seat_id_is_invalid() {
    let app = TestApp::new().await;
    for (seat, reason) in [("", "is empty"), (&*"x".repeat(65), "is longer than 64 characters")] {
        let run = run_event(&app, &expired(json!({ "reservation_id": "r1", "seat_ids": [seat] }))).await;
        assert!(run.reason("m1").ends_with(reason), "{}", run.reason("m1"));
    }
}

#[tokio::test]
async fn a_hold_without_seats_is_released_by_quantity() {
    let app = TestApp::new().await;
    let quantities = [
        (1, json!({ "qty": 1 })),
        (2, json!({ "quantity": 2 })),
        (3, json!({ "qty": 3, "seat_ids": [] })),
        (4, json!({ "quantity": 4, "qty": null, "seat_ids": null })),
        (9_999, json!({ "qty": 9_999 })),
        (10_000, json!({ "qty": 10_000 })),
        (10_000, json!({ "quantity": 10_000 })),
    ];
    for (number, (quantity, facts)) in quantities.into_iter().enumerate() {
        let id = format!("r{number}");
        hold(&app, &id, &[], Some(quantity));
        let calls = calls_made_for(&app, &expired(with(facts, json!({ "reservation_id": id })))).await;
        let expected =
            [status_update(&id, "EXPIRED", json!({})), release(&id, "EXPIRED", &[], quantity as usize)];
        assert_eq!(calls, expected);
    }
}

#[tokio::test]
async fn an_invalid_quantity_is_refused() {
    let refused = [
        "0",
        "-1",
        "-0",
        "10001",
        "2147483647",
        "2147483648",
        "4294967297", // is 1 if only the lower 32 bits are read
        "-2147483649",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "1000000000000000000000000000000",
        "2.0",
        "2.5",
        "1e3",
        "\"2\"",
        "\"SECRET\"",
        "\"\"",
        "true",
        "[2]",
        "{\"SECRET\":2}",
    ];
    let cases = refused.iter().flat_map(|json| {
        let qty = raw_body("reservation.expired", "qty", json);
        let quantity = raw_body("reservation.expired", "quantity", json);
        // An invalid quantity is refused even if the event has valid seats.
        let seats = r#""seat_ids":["A-1"],"qty""#;
        let beside_seats = qty.as_str().unwrap().replacen(r#""qty""#, seats, 1);
        [("detail.qty", qty), ("detail.quantity", quantity), ("detail.qty", Value::String(beside_seats))]
    });
    assert_refused(cases).await;
}

#[tokio::test]
async fn if_the_quantity_and_the_seats_disagree_the_seats_are_used_and_a_warning_is_logged() {
    let seat_ids = ["A-1", "A-2", "A-3"];
    let quantities = [
        (json!({}), false),
        (json!({ "qty": 3 }), false),
        (json!({ "quantity": 3 }), false),
        (json!({ "qty": 1 }), true),
        (json!({ "qty": 10_000 }), true),
        (json!({ "quantity": 4 }), true),
    ];
    let app = TestApp::new().await;
    for (number, (facts, warned)) in quantities.into_iter().enumerate() {
        let id = format!("r{number}");
        let seat_ids = seat_ids.map(|seat| format!("{id}/{seat}"));
        hold(&app, &id, &seat_ids, None);
        let facts = with(facts, json!({ "reservation_id": id, "seat_ids": seat_ids }));

        let run = run_event(&app, &expired(facts)).await;

        assert_eq!(run.outcome("m1"), "success");
        let calls = app.services.take_calls();
        assert_eq!(super::to_json(&calls[1]), release(&id, "EXPIRED", &seat_ids, 3));
        let warnings: Vec<_> = run.log.iter().filter(|line| line["level"] == "WARN").collect();
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:#?}");
        for warning in warnings {
            assert_eq!(warning["message_id"], "m1");
            assert_eq!(warning["reservation_id"], id);
            assert!(warning["message"].as_str().unwrap().contains("quantity"), "{warning}");
            assert_eq!(warning["outcome"], Value::Null, "the warning is not the summary line");
        }
    }
}
