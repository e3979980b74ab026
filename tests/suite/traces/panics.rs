//! A panic during an attempt of a call is reported in the log, the spans and the metrics.

use reservation_worker::call::Service;
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::telemetry::call::AttemptInProgress;
use reservation_worker::telemetry::metrics::Metrics;
use serde_json::json;
use sqs_batch::{Deadline, Handler, Record};

use super::{TracedApp, children, span_of_message};
use crate::metrics::sent;
use crate::test_app::{config, processor, record};

/// A handler that panics while it calls the inventory.
struct Panicking(Metrics);

impl Handler for Panicking {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, _: &Record, _: &Job, _: Deadline) -> Outcome {
        let inventory = "http://inventory:8021".parse().unwrap();
        let _call = AttemptInProgress::begin(&self.0, Service::Inventory, "ReleaseHold", &inventory);
        panic!("SECRET");
    }
}

#[tokio::test]
async fn the_attempt_and_the_dead_letter_of_a_panicked_record_report_the_panic() {
    let traced = TracedApp::start(&[("LOG_LEVEL", "debug")]).await;
    let app = &traced.app;
    let config = config(&app.services, &[("MAX_RETRIES", "1")]);
    let metrics = app.metrics().clone();
    let processor =
        processor(&config, Panicking(metrics.clone()), metrics, app.services.visibility().endpoint());
    let mut last = record("m1", json!("{}"));
    last["receiptHandle"] = json!(null); // no visibility time-out is requested

    let run = app.run_on(&processor, json!({ "Records": [last] })).await;

    let line = run.line("m1");
    assert_eq!(
        (&line["reason_code"], &line["message"]),
        (&json!("panicked"), &json!("record is a dead letter"))
    );
    assert_eq!(line["advice"], Reason::Panicked.advice());
    let call = run.log.iter().find(|line| line["message"] == "attempt of a call ended").unwrap();
    assert_eq!((&call["result"], &call["message_id"]), (&json!("panicked"), &json!("m1")));
    assert!(!run.text.contains("SECRET"), "{}", run.text);

    assert_eq!(app.flush(super::LONG).await, "");
    let spans = traced.collector.spans();
    let record_span = span_of_message(&spans, "m1");
    let call = children(&spans, record_span)[0];
    assert_eq!(
        (&call.attributes["error.type"], call.error.as_deref()),
        (&json!("panicked"), Some("the worker panicked"))
    );
    assert_eq!(record_span.attributes["error.type"], "panicked");

    let sent = sent(app).await;
    let dead_letters = [("type", "unknown"), ("reason", "panicked")];
    assert_eq!(sent.sum("worker_dead_letters_total", &dead_letters), 1.0);
    let attempts = [("service", "inventory"), ("outcome", "panicked")];
    assert_eq!(sent.count("worker_downstream_seconds", &attempts), 1.0);
}
