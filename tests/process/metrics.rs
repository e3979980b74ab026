//! When the function sends metrics, and what it sends when it is shut down.

use std::fs;

use reservation_worker_local::Services;
use reservation_worker_local::cloudwatch::CloudWatchBehaviour;
use reservation_worker_local::runtime_api::Function;
use serde_json::{Value, json};

use crate::function::{LONG, hold, start};
use crate::sent::Sent;
use crate::sqs_event::{expired, sqs};

fn batch(services: &Services, records: usize) -> Value {
    let ids: Vec<_> = (0..records).map(|number| format!("r{number}")).collect();
    let new = ids.iter().filter(|id| services.reservation(id).is_none());
    new.for_each(|id| hold(services, id));
    sqs(ids.iter().map(|id| (id.as_str(), expired(id))))
}

async fn invoke(function: &mut Function, event: &Value) {
    let invoked = function.invoke(event, LONG).await.unwrap();
    assert_eq!(invoked.response.unwrap(), json!({ "batchItemFailures": [] }));
}

/// Ends the function as Lambda does.
async fn shut_down(function: &mut Function) {
    assert!(function.terminate(LONG).await.unwrap().status.success());
    assert!(function.has_extension(), "Lambda sends SIGTERM only to a function that has an extension");
}

/// The number of successful records in the metrics that were received since the last call.
fn successes(services: &Services) -> f64 {
    Sent::of(services.cloudwatch().take()).sum("worker_events_total", &[("outcome", "success")])
}

/// Resident memory in kB.
fn memory(function: &Function) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", function.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn ten_invocations_make_one_call_and_the_shutdown_sends_the_rest() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 3);
    for _ in 0..10 {
        invoke(&mut function, &event).await;
    }
    function.idle().await.unwrap();
    assert_eq!((services.cloudwatch().calls(), successes(&services)), (1, 3.0));

    shut_down(&mut function).await;

    let rest = Sent::of(services.cloudwatch().take());
    assert_eq!(services.cloudwatch().calls(), 2);
    assert_eq!(rest.sum("worker_events_total", &[("outcome", "success")]), 27.0);
    assert_eq!(rest.count("worker_batch_size", &[]), 9.0);
    let log = function.log_lines();
    assert_eq!(
        log.len(),
        function.raw_log().len(),
        "a line of the log is not JSON: {:?}",
        function.raw_log()
    );
}

#[tokio::test]
async fn the_response_is_sent_before_the_metrics() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 1);
    invoke(&mut function, &event).await;
    assert_eq!(services.cloudwatch().calls(), 0);
    function.idle().await.unwrap();
    assert_eq!(services.cloudwatch().calls(), 1);
}

#[tokio::test]
async fn metrics_that_a_call_failed_to_send_are_sent_at_shutdown() {
    let services = Services::start().await.unwrap();
    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Hang);
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 1);
    invoke(&mut function, &event).await;
    function.idle().await.unwrap();
    assert_eq!(services.cloudwatch().calls(), 1);
    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    shut_down(&mut function).await;
    assert_eq!(successes(&services), 1.0);
}

#[tokio::test]
async fn a_shutdown_right_after_an_invocation_sends_the_metrics_of_the_invocation() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let event = batch(&services, 3);
    invoke(&mut function, &event).await;
    function.idle().await.unwrap();
    assert_eq!(successes(&services), 3.0);
    invoke(&mut function, &event).await;
    shut_down(&mut function).await;
    assert_eq!(successes(&services), 3.0);
}

#[tokio::test]
async fn when_cloudwatch_hangs_responses_do_not_change_and_memory_stays_bounded() {
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
    let logged = function
        .log_lines()
        .into_iter()
        .filter(|line| line["message"] == "metrics not sent: they will be sent later");
    assert_eq!(logged.count(), 1);

    services.cloudwatch().set_behaviour(CloudWatchBehaviour::Normal);
    shut_down(&mut function).await;
    assert_eq!(successes(&services), 10_000.0);
}

#[tokio::test]
async fn when_cloudwatch_refuses_connections_responses_do_not_change_and_one_line_is_logged() {
    let services = Services::start().await.unwrap();
    let nobody = [("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:1")];
    let mut function = start(&services, &nobody).await;
    let event = batch(&services, 2);
    for _ in 0..5 {
        invoke(&mut function, &event).await;
    }
    shut_down(&mut function).await;
    let log = function.log_lines();
    let logged: Vec<_> = log.iter().filter(|line| line.get("outcome").is_none()).collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["message"], "metrics not sent: they will be sent later");
    assert!(logged[0]["reason"].as_str().unwrap().contains("refused"), "{}", logged[0]);
}

#[tokio::test]
async fn with_another_sink_the_function_does_not_call_cloudwatch() {
    for sink in ["none", "emf"] {
        let services = Services::start().await.unwrap();
        let mut function = start(&services, &[("METRICS_SINK", sink)]).await;
        invoke(&mut function, &batch(&services, 2)).await;
        function.idle().await.unwrap();
        let log = function.log_lines();
        let emf = log.iter().filter(|line| line.get("_aws").is_some()).count();
        assert_eq!((services.cloudwatch().calls(), emf > 0), (0, sink == "emf"));
        assert!(!function.has_extension(), "there is nothing to send at shutdown");
        assert_eq!(log.len(), function.raw_log().len());
    }
}
