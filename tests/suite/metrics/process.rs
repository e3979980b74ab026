//! The function as a process: what follows its responses, and what it does when it is told to end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reservation_worker_local::Services;
use reservation_worker_local::cloudwatch::CloudWatchBehaviour;
use reservation_worker_local::runtime_api::Function;
use serde_json::{Value, json};

use super::Sent;
use crate::release;
use crate::test_app::{expired, sqs};

const LONG: Duration = Duration::from_secs(60);

async fn start(services: &Services, more: &[(&str, &str)]) -> Function {
    release::function(Path::new(env!("CARGO_BIN_EXE_reservation-worker")), services, more).await
}

fn batch(services: &Services, records: usize) -> Value {
    let ids: Vec<_> = (0..records).map(|number| format!("r{number}")).collect();
    let new = ids.iter().filter(|id| services.reservation(id).is_none());
    new.for_each(|id| release::hold(services, id));
    sqs(ids.iter().map(|id| (id.as_str(), expired(id))))
}

async fn invoke(function: &mut Function, event: &Value) {
    let invoked = function.invoke(event, LONG).await.unwrap();
    assert_eq!(invoked.response.unwrap(), json!({ "batchItemFailures": [] }));
}

/// Ends it as Lambda does.
async fn shut_down(function: &mut Function) {
    assert!(function.terminate(LONG).await.unwrap().status.success());
    assert!(function.has_extension(), "Lambda would not have told it");
}

fn done(sent: &Sent) -> f64 {
    sent.sum("worker_events_total", &[("outcome", "success")])
}

/// Resident memory in kB.
fn memory(function: &Function) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", function.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn ten_invocations_make_one_call_and_shutdown_sends_the_rest() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 3);
    for _ in 0..10 {
        invoke(&mut function, &event).await;
    }
    function.idle().await.unwrap();
    let first = services.cloudwatch().take();
    assert_eq!((services.cloudwatch().calls(), done(&Sent::of(first))), (1, 3.0));

    shut_down(&mut function).await;

    let rest = Sent::of(services.cloudwatch().take());
    assert_eq!((services.cloudwatch().calls(), done(&rest)), (2, 27.0));
    assert_eq!(rest.count("worker_batch_size", &[]), 9.0);
    let log = function.log_lines();
    assert_eq!(
        log.len(),
        function.raw_log().len(),
        "the end, too, is told in JSON: {:?}",
        function.raw_log()
    );
}

#[tokio::test]
async fn the_response_is_out_before_anything_is_sent() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 1);
    invoke(&mut function, &event).await;
    assert_eq!(services.cloudwatch().calls(), 0);
    function.idle().await.unwrap();
    assert_eq!(services.cloudwatch().calls(), 1);
}

#[tokio::test]
async fn what_was_not_taken_before_the_shutdown_is_sent_then() {
    let services = Services::start().await.unwrap();
    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Hang);
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 1);
    invoke(&mut function, &event).await;
    function.idle().await.unwrap();
    assert_eq!(services.cloudwatch().calls(), 1);
    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    shut_down(&mut function).await;
    assert_eq!(done(&Sent::of(services.cloudwatch().take())), 1.0);
}

#[tokio::test]
async fn a_shutdown_right_after_an_invocation_sends_its_metrics() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 3);
    invoke(&mut function, &event).await;
    function.idle().await.unwrap();
    assert_eq!(done(&Sent::of(services.cloudwatch().take())), 3.0);
    invoke(&mut function, &event).await;
    shut_down(&mut function).await;
    assert_eq!(done(&Sent::of(services.cloudwatch().take())), 3.0);
}

#[tokio::test]
async fn a_cloudwatch_that_hangs_changes_no_response_and_memory_stays_bounded() {
    let services = Services::start().await.unwrap();
    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Hang);
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 10);
    let mut early = 0;
    for number in 0..1_000 {
        invoke(&mut function, &event).await;
        if number == 100 {
            early = memory(&function);
        }
    }
    let grown = memory(&function).saturating_sub(early);
    assert!(grown < 4_096, "{grown} kB more after 900 invocations");
    let told =
        function.log_lines().into_iter().filter(|line| line["message"] == "metrics not sent: they are kept");
    assert_eq!(told.count(), 1);

    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    shut_down(&mut function).await;
    assert_eq!(done(&Sent::of(services.cloudwatch().take())), 10_000.0);
}

#[tokio::test]
async fn a_cloudwatch_that_is_not_there_changes_nothing_and_is_told_once() {
    let services = Services::start().await.unwrap();
    let nobody = [("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:1")];
    let mut function = start(&services, &nobody).await;
    let event = batch(&services, 2);
    for _ in 0..5 {
        invoke(&mut function, &event).await;
    }
    shut_down(&mut function).await;
    let log = function.log_lines();
    let told: Vec<_> = log.iter().filter(|line| line.get("outcome").is_none()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["message"], "metrics not sent: they are kept");
    assert!(told[0]["reason"].as_str().unwrap().contains("refused"), "{}", told[0]);
}

#[tokio::test]
async fn with_another_sink_no_client_is_made() {
    for sink in ["none", "emf"] {
        let services = Services::start().await.unwrap();
        let mut function = start(&services, &[("METRICS_SINK", sink)]).await;
        invoke(&mut function, &batch(&services, 2)).await;
        function.idle().await.unwrap();
        let log = function.log_lines();
        let emf = log.iter().filter(|line| line.get("_aws").is_some()).count();
        assert_eq!((services.cloudwatch().calls(), emf > 0), (0, sink == "emf"));
        assert!(!function.has_extension(), "there is nothing to do at the end");
        assert_eq!(log.len(), function.raw_log().len());
    }
}
