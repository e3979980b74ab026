//! When the function sends spans, and where it sends them in Lambda.

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::{Collector, Daemon, segments};

use crate::function::{LONG, hold, returned, start};
use crate::sqs_event::{expired, sqs};

async fn invoke(function: &mut Function, services: &Services) {
    hold(services, "r1");
    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();
    assert_eq!(returned(&invoked), [""; 0]);
}

#[tokio::test]
async fn the_response_is_sent_before_spans_and_metrics() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let mut function = start(&services, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]).await;
    invoke(&mut function, &services).await;
    assert_eq!((collector.requests(), services.cloudwatch().calls()), (0, 0));
    function.idle().await.unwrap();
    assert_eq!((collector.requests(), services.cloudwatch().calls()), (1, 1));
    assert_eq!(collector.spans().len(), 4);
}

#[tokio::test]
async fn spans_go_to_the_daemon_whose_address_lambda_sets() {
    let (services, daemon) = (Services::start().await.unwrap(), Daemon::start().await.unwrap());
    let mut function = start(&services, &[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address().unwrap())]).await;
    invoke(&mut function, &services).await;
    function.idle().await.unwrap();
    let documents = daemon.documents().unwrap();
    assert_eq!(documents.iter().flat_map(segments).count(), 4, "{documents:#?}");
}
