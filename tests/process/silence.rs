//! Contract section 6, "Connections after silence": the process is frozen as Lambda freezes it, and the peers forget
//! its connections.

use std::time::Duration;

use futures_util::future::join_all;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::{Effect, Fault, Operation, Services};
use tokio::time::sleep;

use crate::forgetful_proxy::{AfterForgetting, ForgetfulProxy};
use crate::function::{LONG, hold, returned, start};
use crate::sqs_event::{approved, sqs};

/// A test cannot shift the clocks of another process, so the process is frozen for longer than a silence of 10 s.
const FREEZE: Duration = Duration::from_millis(10_500);

#[tokio::test]
async fn connections_that_were_forgotten_during_a_freeze_fail_no_record_of_a_batch_of_20_or_100() {
    let cases = [20, 100].map(|size| {
        [AfterForgetting::DropsData, AfterForgetting::Resets].map(|after_forgetting| (size, after_forgetting))
    });
    join_all(
        cases.as_flattened().iter().map(|&(size, after_forgetting)| fail_no_record(size, after_forgetting)),
    )
    .await;
}

async fn fail_no_record(size: usize, after_forgetting: AfterForgetting) {
    let services = Services::start().await.unwrap();
    let authority = services.reservation_api_base().replace("http://", "");
    let rest = ForgetfulProxy::start(authority, after_forgetting).await;
    let grpc = ForgetfulProxy::start(services.inventory_addr(), after_forgetting).await;
    let concurrency = size.to_string();
    let mut function = start(
        &services,
        &[
            ("RESERVATION_API_BASE", &rest.server.base()),
            ("INVENTORY_GRPC_ADDR", &grpc.server.addr()),
            // For a slow machine.
            ("RESERVATION_API_TIMEOUT_MS", "5000"),
            ("INVENTORY_TIMEOUT_MS", "5000"),
            ("WORKER_CONCURRENCY", &concurrency),
            ("LOG_LEVEL", "debug"),
        ],
    )
    .await;
    // Every record opens a connection to the reservation API.
    services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(300)));
    pay(&mut function, &services, "before", size).await;
    services.clear_faults();
    assert_eq!((rest.server.accepted(), grpc.server.accepted()), (size, 1));

    function.idle().await.unwrap();
    function.freeze();
    for proxy in [&rest, &grpc] {
        proxy.forget();
    }
    sleep(FREEZE).await;
    function.take_log();
    function.thaw();
    pay(&mut function, &services, "after", size).await;

    let log = function.take_log();
    let attempts = log.iter().filter(|line| line["message"] == "attempt of a call ended").count();
    assert_eq!(attempts, 2 * size, "{size} {after_forgetting:?}");
    assert!(!log.iter().any(|line| line["message"] == "breaker opened"), "{size} {after_forgetting:?}");
}

/// Invokes the function with approved payments, none of which may be returned.
async fn pay(function: &mut Function, services: &Services, prefix: &str, size: usize) {
    let ids: Vec<_> = (0..size).map(|number| format!("{prefix}{number}")).collect();
    ids.iter().for_each(|id| hold(services, id));
    let event = sqs(ids.iter().map(|id| (id.as_str(), approved(id))));
    let invoked = function.invoke(&event, LONG).await.unwrap();
    assert_eq!(returned(&invoked), [""; 0]);
}
