//! Replies: every reply is classified, and no failure is classified as a success.

use proptest::prelude::*;
use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::services::inventory::classify;
use reservation_worker::services::inventory::proto::common::v1::Error;
use reservation_worker::services::inventory::proto::reservation::v1::{
    CommitReservationResponse, ReleaseHoldResponse,
};
use reservation_worker_local::{Effect, Fault as InjectedFault, Operation};
use serde_json::json;
use tonic::Status;

use super::json;
use crate::test_app::{TestApp, approved, sqs};

/// Status, error code if the body is an error with a code, and body.
fn refusal() -> impl Strategy<Value = (u16, Option<String>, String)> {
    let code = prop_oneof![
        3 => prop::sample::select(&["RESERVATION_ALREADY_CONFIRMED", "RESERVATION_ALREADY_CANCELLED", "RESERVATION_EXPIRED"][..]).prop_map(str::to_owned),
        1 => "[A-Z_]{1,30}",
        1 => any::<String>(),
    ];
    let coded = code.prop_map(|code| (Some(code.clone()), json!({ "error": { "code": code } }).to_string()));
    // A body that is not an object contains no error.
    let other = prop_oneof![
        any::<String>(),
        prop::collection::vec(json(), 0..3).prop_map(|list| json!(list).to_string())
    ];
    let body = prop_oneof![coded, other.prop_map(|body| (None, body))];
    (300..600_u16, body).prop_map(|(status, (code, body))| (status, code, body))
}

/// The outcome of `payment.approved` after this reply, if the reservation is on hold.
fn expected_outcome(status: u16, code: Option<&str>) -> &'static str {
    match (status, code) {
        (401..=403 | 408 | 412 | 425 | 429, _) => "retried",
        (400..500, Some("RESERVATION_ALREADY_CONFIRMED")) => "success",
        (400..500, Some("RESERVATION_ALREADY_CANCELLED" | "RESERVATION_EXPIRED")) => "failed",
        (409, _) => "retried",
        (400..500, _) => "failed",
        _ => "retried",
    }
}

/// Whether an inventory reply is a success: the status and the error code must be in these lists or absent. If an
/// error has the unspecified code 0, the status must be in its list.
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
    fn an_inventory_reply_is_a_success_only_where_the_contract_says_so(status in number(), code in prop::option::of(number())) {
        let error = code.map(|code| Error { code, ..Error::default() });
        let released = classify(Ok(ReleaseHoldResponse { status, error: error.clone(), ..Default::default() }));
        let committed = classify(Ok(CommitReservationResponse { status, error, ..Default::default() }));
        // For a release with status FAILED, only the code decides.
        let release_status = if status == 4 && !matches!(code, None | Some(0)) { 0 } else { status };
        prop_assert_eq!(released.is_ok(), is_done(release_status, code, &[1, 2, 3], &[5, 6]), "{:?}", released);
        prop_assert_eq!(committed.is_ok(), is_done(status, code, &[1], &[6]), "{:?}", committed);
    }

    #[test]
    fn a_grpc_error_is_a_success_only_with_the_code_already_exists(code in number(), message in any::<String>()) {
        let result = classify::<ReleaseHoldResponse>(Err(Status::new(code.into(), message.clone())));
        match result {
            // The client reports an error with code 0 if a broken server replies without a message.
            Ok(()) => prop_assert!(matches!(code, 0 | 6), "{code}"),
            Err(error) => {
                prop_assert!(!matches!(error.class(), ErrorClass::NotCalled(_)), "the service was called");
                prop_assert!(message.len() < 20 || !error.to_string().contains(&message), "the error repeats the message: {error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_reservation_api_reply_is_classified_as_the_contract_says(refusals in prop::collection::vec(refusal(), 20)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let app = TestApp::with(&[("BREAKER_FAILURES", "0")]).await;
            let names: Vec<_> = (0..refusals.len()).map(|index| format!("r-{index}")).collect();
            for (name, (status, _, body)) in names.iter().zip(&refusals) {
                app.hold(name);
                let (status, body) = (*status, body.clone());
                let effect = Effect::HttpBody { status, content_type: "application/json".to_owned(), body };
                app.services.fault(InjectedFault::on(Operation::UpdateStatus, name, effect));
            }
            let run = app.run(sqs(names.iter().map(|name| (name.as_str(), approved(name))))).await;
            for (name, (status, code, body)) in names.iter().zip(&refusals) {
                let expected = expected_outcome(*status, code.as_deref());
                prop_assert_eq!(run.outcome(name), expected, "{} {}", status, body);
                let sold = app.services.calls_for(name).iter().any(|call| call.operation == Operation::CommitReservation);
                prop_assert_eq!(sold, expected == "success", "{} {}", status, body);
            }
            Ok(())
        })?;
    }
}
