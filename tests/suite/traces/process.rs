//! The function as a process: when its spans are sent, and where to in Lambda.

use std::path::Path;

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::{Collector, Daemon, segments};

use super::LONG;
use crate::release;
use crate::test_app::{expired, sqs};

/// The function, with these variables besides the addresses of the services.
pub async fn function(services: &Services, more: &[(&str, &str)]) -> Function {
    release::function(Path::new(env!("CARGO_BIN_EXE_reservation-worker")), services, more).await
}

async fn invoke(function: &mut Function, services: &Services) {
    release::hold(services, "r1");
    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();
    assert_eq!(invoked.response.unwrap()["batchItemFailures"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn the_response_is_out_before_spans_and_metrics_are_sent() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let mut function = function(&services, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]).await;
    invoke(&mut function, &services).await;
    assert_eq!((collector.requests(), services.cloudwatch().calls()), (0, 0));
    function.idle().await.unwrap();
    assert_eq!((collector.requests(), services.cloudwatch().calls()), (1, 1));
    assert_eq!(collector.spans().len(), 4);
}

#[tokio::test]
async fn spans_go_to_the_daemon_that_lambda_names() {
    let (services, daemon) = (Services::start().await.unwrap(), Daemon::start().await.unwrap());
    let mut function = function(&services, &[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address().unwrap())]).await;
    invoke(&mut function, &services).await;
    function.idle().await.unwrap();
    let documents = daemon.documents().unwrap();
    assert_eq!(documents.iter().flat_map(segments).count(), 4, "{documents:#?}");
}
