//! When the function sends spans, and where it sends them in Lambda.

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::{Collector, Daemon, segments};

use tokio::net::TcpListener;

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

#[tokio::test]
async fn a_grpc_collector_receives_the_headers_that_are_configured() {
    let services = Services::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = tokio::spawn(async move {
        let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (request, _) = connection.accept().await.unwrap().unwrap();
        request.into_parts().0
    });
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop%201"),
    ];
    let mut function = start(&services, &variables).await;
    invoke(&mut function, &services).await;
    function.idle().await.unwrap();
    let request = collector.await.unwrap();
    assert_eq!(request.uri.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let header = |name| request.headers[name].to_str().unwrap();
    assert_eq!((header("x-tenant"), header("content-type")), ("shop 1", "application/grpc"));
}
