//! Invocations of the function: responses, errors, the deadline, the log, and the connection to the inventory.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reservation_worker_local::expectations::{self, Summary};
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::Collector;
use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Services};
use serde_json::{Value, json};

use crate::function::{LONG, binary, hold, returned, start, start_binary};
use crate::sqs_event::{approved, expired, record, sqs};
use crate::wire::Server;

#[tokio::test]
async fn every_sample_event_has_the_expected_result() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let cases = expectations::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("events")).unwrap();
    assert!(cases.len() >= 15, "only {} sample events", cases.len());

    for case in cases {
        case.given.apply(&services).unwrap();
        let invoked = function.invoke(&case.event, LONG).await.unwrap();
        let summaries: Vec<_> = function.take_log().iter().filter_map(Summary::of).collect();
        let checked = case.check(&services, &invoked.response.unwrap(), &summaries);
        assert_eq!(checked.differences, [""; 0], "{}", case.name());
    }
}

#[tokio::test]
async fn a_batch_with_hanging_records_is_answered_before_the_deadline() {
    for operation in [Operation::UpdateStatus, Operation::ReleaseHold] {
        let services = Services::start().await.unwrap();
        let variables = [("INVENTORY_TIMEOUT_MS", "60000"), ("RESERVATION_API_TIMEOUT_MS", "60000")];
        let mut function = start(&services, &variables).await;
        let ids: Vec<_> = (0..30).map(|number| format!("r{number}")).collect();
        ids.iter().for_each(|id| hold(&services, id));
        let hanging: Vec<_> = ids.iter().map(String::as_str).step_by(3).collect();
        hanging.iter().for_each(|id| services.fault(Fault::on(operation, id, Effect::Hang)));

        let event = sqs(ids.iter().map(|id| (id.as_str(), expired(id))));
        let limit = Duration::from_secs(4);
        let invoked = function.invoke(&event, limit).await.unwrap();

        assert!(invoked.took < limit, "{:?}", invoked.took);
        assert_eq!(returned(&invoked), hanging);
        for id in ids.iter().filter(|id| !hanging.contains(&id.as_str())) {
            assert_eq!(services.seat_state(id), Some(SeatState::Available), "{id}");
        }
    }
}

#[tokio::test]
async fn a_batch_with_hanging_records_is_answered_before_the_deadline_with_the_default_time_outs() {
    let services = Services::start().await.unwrap();
    let mut function = start(&services, &[]).await;
    let ids: Vec<_> = (0..30).map(|number| format!("r{number}")).collect();
    ids.iter().for_each(|id| hold(&services, id));
    ids[..10].iter().for_each(|id| services.fault(Fault::on(Operation::UpdateStatus, id, Effect::Hang)));

    let event = sqs(ids.iter().map(|id| (id.as_str(), approved(id))));
    let invoked = function.invoke(&event, Duration::from_secs(4)).await.unwrap();

    assert_eq!(returned(&invoked), ids[..10]);
}

#[tokio::test]
async fn a_panic_returns_its_record_and_no_other() {
    let services = Services::start().await.unwrap();
    let mut function = start_binary("panicking_handler", &services, &[]).await;

    let event = sqs([("m1", json!("fine")), ("m2", json!("panic")), ("m3", json!("fine"))]);
    let mut request_ids = Vec::new();
    for _ in 0..2 {
        let invoked = function.invoke(&event, LONG).await.unwrap();
        assert_eq!(returned(&invoked), ["m2"]);
        request_ids.push(invoked.request_id);
    }

    let log = function.log_lines();
    assert_eq!(
        log.len(),
        function.raw_log().len(),
        "a line of the log is not JSON: {:?}",
        function.raw_log()
    );
    let panics = log.iter().filter(|line| line["message"] == "panicked");
    assert!(
        panics.clone().all(|line| { line["location"].as_str().unwrap().contains("panicking_handler.rs") })
    );
    let logged: Vec<_> =
        panics.map(|line| (line["message_id"].as_str(), line["request_id"].as_str())).collect();
    assert_eq!(logged, [0, 1].map(|number| (Some("m2"), Some(request_ids[number].as_str()))));
}

#[tokio::test]
async fn a_payload_that_is_not_an_sqs_event_is_an_error_and_the_next_invocation_succeeds() {
    let services = Services::start().await.unwrap();
    hold(&services, "r1");
    let mut function = start(&services, &[]).await;
    let mut without_id = sqs([("m1", expired("r1"))]);
    without_id["Records"][0]["messageId"] = Value::Null;
    let s3 = json!({ "Records": [{ "eventSource": "aws:s3", "s3": { "bucket": { "name": "SECRET" } } }] });

    for payload in
        [json!({}), json!([]), json!({ "Records": null }), json!({ "detail": "SECRET" }), s3, without_id]
    {
        let invoked = function.invoke(&payload, LONG).await.unwrap();
        assert!(invoked.response.unwrap_err()["errorMessage"].as_str().is_some_and(|text| !text.is_empty()));
    }
    let invoked = function.invoke_raw("{\"Records\":", LONG).await.unwrap();
    assert!(invoked.response.is_err());
    assert_eq!(services.calls(), []);

    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();
    assert_eq!(returned(&invoked), [""; 0]);
    assert!(!function.raw_log().concat().contains("SECRET"), "{:?}", function.raw_log());
}

#[tokio::test]
async fn invalid_configuration_fails_the_init_with_every_problem_in_one_message() {
    let variables = [
        ("RESERVATION_API_BASE", "ftp://example"),
        ("WORKER_CONCURRENCY", "many"),
        ("MAX_RETRIES", "0"),
        ("RESERVATION_API_TOKEN", "SECRET\u{7f}"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut function = Function::start(&binary("reservation-worker"), variables).await.unwrap();

    let exit = function.exit(LONG).await.unwrap();

    assert!(!exit.status.success());
    let message = "invalid configuration: \
        INVENTORY_GRPC_ADDR=(unset): is required; \
        RESERVATION_API_BASE=ftp://example: is not an http:// or https:// URL; \
        RESERVATION_API_TOKEN=(hidden): contains a character that is not allowed in a bearer token; \
        WORKER_CONCURRENCY=many: is not a whole number from 1 to 1000; \
        MAX_RETRIES=0: is not a whole number from 1 to 1000";
    assert_eq!(exit.init_error.unwrap()["errorMessage"], message);
    let log = function.take_log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((&log[0]["level"], &log[0]["message"]), (&json!("ERROR"), &json!(message)));
}

#[test]
fn outside_of_lambda_the_program_says_how_to_run_it() {
    let output =
        Command::new(binary("reservation-worker")).env_remove("AWS_LAMBDA_RUNTIME_API").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let expected = "error: this is an AWS Lambda function, and the variable AWS_LAMBDA_RUNTIME_API is not set.\n\
        Run it with `make local` or `cargo lambda watch` (README.md), or deploy it with `make deploy`.\n";
    assert_eq!(
        (str::from_utf8(&output.stdout).unwrap(), str::from_utf8(&output.stderr).unwrap()),
        ("", expected)
    );
}

#[tokio::test]
async fn every_line_of_the_log_is_a_json_object_with_the_request_id() {
    let services = Services::start().await.unwrap();
    hold(&services, "r1");
    let mut function = start(&services, &[("LOG_LEVEL", "debug")]).await;
    let event = json!({ "Records": [record("m1", expired("r1")), record("m2", json!("poison"))] });

    let invoked = function.invoke(&event, LONG).await.unwrap();

    let log = function.log_lines();
    assert_eq!(log.len(), function.raw_log().len(), "{:?}", function.raw_log());
    assert!(log.len() >= 4, "two summaries and two calls: {log:?}");
    for line in log {
        assert_eq!(line["request_id"], invoked.request_id, "{line}");
        assert!(["timestamp", "level", "message"].iter().all(|key| line[key].is_string()), "{line}");
    }
}

#[tokio::test]
async fn spans_are_sent_after_each_invocation_and_name_the_function() {
    let (services, collector) = (Services::start().await.unwrap(), Collector::start().await.unwrap());
    let (endpoint, region) = (collector.endpoint(), "ap-northeast-2");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("AWS_REGION", region)];
    let mut function = start(&services, &variables).await;
    for (number, id) in ["r1", "r2", "r3"].into_iter().enumerate() {
        hold(&services, id);
        function.invoke(&sqs([(id, expired(id))]), LONG).await.unwrap();
        // The function requests the next invocation after it has sent the spans of the previous one.
        assert!(collector.spans().len() >= 4 * number, "{} after {number}", collector.spans().len());
    }
    for span in collector.spans() {
        for (name, value) in [
            ("service.name", json!("reservation-worker")),
            ("service.version", json!(env!("CARGO_PKG_VERSION"))),
            ("cloud.provider", json!("aws")),
            ("cloud.platform", json!("aws_lambda")),
            ("cloud.region", json!(region)),
            ("faas.name", json!("reservation-worker")),
            ("faas.version", json!("$LATEST")),
            ("faas.max_memory", json!(256 * 1024 * 1024)),
        ] {
            assert_eq!(span.resource[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn the_function_connects_to_the_inventory_before_the_first_event_and_uses_that_connection() {
    let services = Services::start().await.unwrap();
    let inventory = Server::proxy(services.inventory_addr()).await;
    let mut function = start(&services, &[("INVENTORY_GRPC_ADDR", &inventory.addr())]).await;
    function.ready().await.unwrap();
    let started = Instant::now();
    while inventory.accepted() == 0 {
        assert!(started.elapsed() < LONG);
        tokio::task::yield_now().await;
    }

    hold(&services, "r1");
    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();

    assert_eq!(returned(&invoked), [""; 0]);
    assert_eq!(inventory.accepted(), 1);
}

#[tokio::test]
async fn the_inventory_may_start_after_the_function() {
    let services = Services::start().await.unwrap();
    services.stop(Service::Inventory).await;
    let mut function = start(&services, &[]).await;
    function.ready().await.unwrap();
    services.restart(Service::Inventory).await.unwrap();

    hold(&services, "r1");
    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();

    assert_eq!(returned(&invoked), [""; 0]);
}

#[tokio::test]
async fn a_new_process_completes_the_event_of_a_killed_process() {
    let services = Services::start().await.unwrap();
    hold(&services, "r1");
    services.fault(Fault::on(Operation::CommitReservation, "r1", Effect::Hang).times(1));
    let mut first = start(&services, &[("INVENTORY_TIMEOUT_MS", "60000")]).await;
    let event = sqs([("m1", approved("r1"))]);

    {
        let in_flight = first.invoke(&event, LONG);
        let status_updated = async {
            let started = Instant::now();
            while services.calls_for("r1").len() < 2 {
                assert!(started.elapsed() < LONG, "{:?}", services.calls());
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = in_flight => panic!("answered"), () = status_updated => {} }
    }
    first.kill();
    assert_eq!(services.seat_state("r1"), Some(SeatState::Hold));

    let mut second = start(&services, &[]).await;
    let invoked = second.invoke(&event, LONG).await.unwrap();

    assert_eq!(returned(&invoked), [""; 0]);
    assert_eq!(services.seat_state("r1"), Some(SeatState::Sold));
}
