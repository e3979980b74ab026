//! Replies: every one means something, and none is taken for a success that is not.

use proptest::prelude::*;
use reservation_worker::fault::{Classify, Fault};
use reservation_worker::inventory::judge;
use reservation_worker::inventory::proto::common::v1::Error;
use reservation_worker::inventory::proto::reservation::v1::{CommitReservationResponse, ReleaseHoldResponse};
use reservation_worker_local::{Effect, Fault as Asked, Operation};
use serde_json::json;
use tonic::Status;

use super::json;
use crate::test_app::{TestApp, approved, sqs};

/// Status, code if the body is an error with one, body.
fn refusal() -> impl Strategy<Value = (u16, Option<String>, String)> {
    let code = prop_oneof![
        3 => prop::sample::select(&["RESERVATION_ALREADY_CONFIRMED", "RESERVATION_ALREADY_CANCELLED", "RESERVATION_EXPIRED"][..]).prop_map(str::to_owned),
        1 => "[A-Z_]{1,30}",
        1 => any::<String>(),
    ];
    let coded = code.prop_map(|code| (Some(code.clone()), json!({ "error": { "code": code } }).to_string()));
    // What is no object has no error, whatever it says.
    let other = prop_oneof![
        any::<String>(),
        prop::collection::vec(json(), 0..3).prop_map(|list| json!(list).to_string())
    ];
    let body = prop_oneof![coded, other.prop_map(|body| (None, body))];
    (300..600_u16, body).prop_map(|(status, (code, body))| (status, code, body))
}

/// What a payment that was approved comes to, while the reservation itself is on hold.
fn means(status: u16, code: Option<&str>) -> &'static str {
    match (status, code) {
        (401 | 403 | 408 | 412 | 425 | 429, _) => "retried",
        (400..500, Some("RESERVATION_ALREADY_CONFIRMED")) => "success",
        (400..500, Some("RESERVATION_ALREADY_CANCELLED" | "RESERVATION_EXPIRED")) => "failed",
        (409, _) => "retried",
        (400..500, _) => "failed",
        _ => "retried",
    }
}

/// A status that is done, with a code that is done or without one.
fn is_done(status: i32, code: Option<i32>, done: &[i32], done_codes: &[i32]) -> bool {
    match code {
        None => status == 0 || done.contains(&status),
        Some(0) => done.contains(&status),
        Some(code) => (status == 0 || done.contains(&status)) && done_codes.contains(&code),
    }
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![0..30_i32, any::<i32>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_reply_of_the_inventory_is_done_only_as_the_contract_says(status in number(), code in prop::option::of(number())) {
        let error = code.map(|code| Error { code, ..Error::default() });
        let released = judge(Ok(ReleaseHoldResponse { status, error: error.clone(), ..Default::default() }));
        let committed = judge(Ok(CommitReservationResponse { status, error, ..Default::default() }));
        // A release that FAILED leaves it to the code.
        let release_status = if status == 4 && !matches!(code, None | Some(0)) { 0 } else { status };
        prop_assert_eq!(released.is_ok(), is_done(release_status, code, &[1, 2, 3], &[5, 6]), "{:?}", released);
        prop_assert_eq!(committed.is_ok(), is_done(status, code, &[1], &[6]), "{:?}", committed);
    }

    #[test]
    fn a_grpc_code_of_any_number_is_done_only_if_it_already_exists(code in number(), message in any::<String>()) {
        let told = judge::<ReleaseHoldResponse>(Err(Status::new(code.into(), message.clone())));
        match told {
            // Ok as an error is what a broken server makes of a reply without a message.
            Ok(()) => prop_assert!(matches!(code, 0 | 6), "{code}"),
            Err(error) => {
                prop_assert!(!matches!(error.fault(), Fault::NotCalled(_)), "it was called");
                prop_assert!(message.len() < 20 || !error.to_string().contains(&message), "repeats the message");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_reply_of_the_reservation_api_means_what_the_contract_says(refusals in prop::collection::vec(refusal(), 20)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
            let names: Vec<_> = (0..refusals.len()).map(|place| format!("r-{place}")).collect();
            for (name, (status, _, body)) in names.iter().zip(&refusals) {
                app.hold(name);
                let (status, body) = (*status, body.clone());
                let effect = Effect::HttpBody { status, content_type: "application/json".to_owned(), body };
                app.services.fault(Asked::on(Operation::UpdateStatus, name, effect));
            }
            let ran = app.run(sqs(names.iter().map(|name| (name.as_str(), approved(name))))).await;
            for (name, (status, code, body)) in names.iter().zip(&refusals) {
                let expected = means(*status, code.as_deref());
                prop_assert_eq!(ran.outcome(name), expected, "{} {}", status, body);
                let sold = app.services.calls_for(name).iter().any(|call| call.operation == Operation::CommitReservation);
                prop_assert_eq!(sold, expected == "success", "{} {}", status, body);
            }
            Ok(())
        })?;
    }
}
