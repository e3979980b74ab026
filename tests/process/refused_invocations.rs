//! The spans, logs and metrics of an invocation that the function refuses, and of an invocation without records.

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::{Collector, Span};
use serde_json::{Value, json};

use crate::function::{self, LONG};
use crate::sent::Sent;
use crate::spans::{assert_line_has_ids_of, invocation};
use crate::sqs_event::{expired, sqs};

/// Starts a function that sends its spans to the collector. CloudWatch refuses its connections.
async fn start(services: &Services, collector: &Collector) -> Function {
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:1"),
    ];
    function::start(services, &variables).await
}

/// Every log line since the last call has the ids of this span and of its invocation.
fn assert_all_lines_have_ids_of(function: &mut Function, request_id: &str, span: &Span, is_cold: bool) {
    let xray = format!("1-{}-{}", &span.trace_id[..8], &span.trace_id[8..]);
    let (texts, lines) = (function.raw_log(), function.take_log());
    assert_eq!(texts.len(), lines.len(), "{texts:?}");
    for (line, text) in lines.iter().zip(texts) {
        assert_line_has_ids_of(
            (line, &text),
            span,
            [json!(xray), json!(request_id), json!("$LATEST"), json!(is_cold)],
        );
    }
}

#[tokio::test]
async fn a_refused_invocation_has_a_span_with_its_error_and_a_log_line_with_its_ids() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let mut function = start(&services, &collector).await;
    let no_id = json!({ "Records": [{ "messageId": null, "body": "SECRET", "eventSource": "aws:sqs" }] });
    for (number, (payload, reason)) in [
        (json!({ "detail": "SECRET" }), "the payload is not an SQS event, at line 1 column 19"),
        (no_id, "Records[0].messageId: is missing or empty"),
    ]
    .into_iter()
    .enumerate()
    {
        let invoked = function.invoke(&payload, LONG).await.unwrap();
        let error = json!({ "errorType": "NotSqs", "errorMessage": reason });
        assert_eq!(invoked.response.unwrap_err(), error);
        function.idle().await.unwrap();

        let spans = collector.spans();
        assert_eq!(spans.len(), number + 1, "{spans:#?}");
        let span = &spans[number];
        assert_eq!((span.name.as_str(), span.error.as_deref()), ("process", Some(reason)));
        assert_eq!(span.attributes["error.type"], "NotSqs");
        assert_eq!(span.attributes["faas.invocation_id"], invoked.request_id);
        assert_eq!(span.attributes["faas.coldstart"], number == 0);
        let log = function.log_lines();
        let refused: Vec<_> = log.iter().filter(|line| line.to_string().contains(reason)).collect();
        assert_eq!(refused.len(), 1, "an error is logged once: {log:#?}");
        assert_eq!(refused[0]["level"], "ERROR");
        let after_the_response =
            log.iter().filter(|line| line["message"] == "metrics not sent: they will be sent later");
        assert_eq!(after_the_response.count(), usize::from(number == 0), "{log:#?}");
        assert!(!json!(log).to_string().contains("SECRET"), "{log:#?}");
        assert_all_lines_have_ids_of(&mut function, &invoked.request_id, span, number == 0);
    }
}

/// Lambda does not pass such a payload to a function.
#[tokio::test]
async fn a_payload_that_is_not_json_has_a_span_with_its_error_and_log_lines_with_its_ids() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let mut function = start(&services, &collector).await;
    let invoked = function.invoke_raw("{\"Records\":", LONG).await.unwrap();
    assert!(invoked.response.is_err());
    function.idle().await.unwrap();
    let spans = collector.spans();
    assert_eq!(
        (spans.len(), spans[0].error.as_deref()),
        (1, Some("the invocation ended before its batch was processed"))
    );
    assert!(function.log_lines().iter().any(|line| line["level"] == "ERROR"));
    assert_all_lines_have_ids_of(&mut function, &invoked.request_id, &spans[0], true);
}

#[tokio::test]
async fn log_lines_after_the_response_have_the_ids_of_the_invocation() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let mut function = start(&services, &collector).await;
    let invoked = function.invoke(&sqs([]), LONG).await.unwrap();
    function.idle().await.unwrap();
    let spans = collector.spans();
    assert_eq!(invocation(&spans).error, None);
    let log: Vec<Value> = function.log_lines();
    assert_eq!(log.len(), 1, "{log:#?}");
    assert_eq!(log[0]["message"], "metrics not sent: they will be sent later");
    assert_all_lines_have_ids_of(&mut function, &invoked.request_id, &spans[0], true);
}

/// Lambda counts refused invocations itself, but the function still reports the cold start.
#[tokio::test]
async fn a_refused_first_invocation_is_the_cold_start_and_the_next_invocation_is_not() {
    let services = Services::start().await.unwrap();
    let mut function = function::start(&services, &[]).await;
    assert!(function.invoke(&json!({}), LONG).await.unwrap().response.is_err());
    function.idle().await.unwrap();
    let sent = Sent::of(services.cloudwatch().take());
    assert_eq!(sent.values("worker_cold_start", &[]), [(1.0, 1.0)]);
    assert_eq!(sent.values("worker_batch_size", &[]), []);

    function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap().response.unwrap();
    function.terminate(LONG).await.unwrap();
    let sent = Sent::of(services.cloudwatch().take());
    assert_eq!(sent.values("worker_cold_start", &[]), []);
    assert_eq!(sent.values("worker_batch_size", &[]), [(1.0, 1.0)]);
}
