//! A panic within a try of a call: told as what it is, and no less than any other end.

use reservation_worker::batch::{Batch, Handler, Job};
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::record::Record;
use reservation_worker::retry::Deadline;
use reservation_worker::telemetry::call::{Call, Service};
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use serde_json::json;
use tracing::{Span, error_span};

use super::{Traced, children, of_message};
use crate::metrics::sent;
use crate::test_app::{config, record};

/// Panics when it has called the inventory.
struct Panicking(Metrics);

struct Alone;

impl Job for Alone {
    type Identity = ();

    fn lane(&self) -> Option<(&str, &())> {
        None
    }

    fn span(&self, record: &Record) -> Span {
        error_span!("record", message_id = record.message_id)
    }
}

impl Handler for Panicking {
    type Job = Alone;

    fn read(&self, _: &Record) -> Alone {
        Alone
    }

    async fn work(&self, _: &Alone, _: Deadline) -> Outcome {
        let inventory = "http://inventory:8021".parse().unwrap();
        let _call = Call::begin(&self.0, Service::Inventory, "ReleaseHold", &inventory);
        panic!("SECRET");
    }
}

#[tokio::test]
async fn a_try_and_a_dead_letter_say_that_the_worker_panicked() {
    let traced = Traced::start(&[("LOG_LEVEL", "debug")]).await;
    let app = &traced.app;
    let config = config(&app.services, &[("MAX_RETRIES", "1")]);
    let metrics = app.metrics().clone();
    let visibility = Visibility::new(&config, metrics.clone());
    let batch = Batch::new(&config, Panicking(metrics.clone()), visibility, metrics);
    let mut last = record("m1", json!("{}"));
    last["receiptHandle"] = json!(null); // no queue is asked for anything

    let ran = app.run_on(&batch, json!({ "Records": [last] })).await;

    let line = ran.line("m1");
    assert_eq!(
        (&line["reason_code"], &line["message"]),
        (&json!("panicked"), &json!("record is a dead letter"))
    );
    assert_eq!(line["advice"], Reason::Panicked.advice());
    let call = ran.log.iter().find(|line| line["message"] == "service called").unwrap();
    assert_eq!((&call["result"], &call["message_id"]), (&json!("panicked"), &json!("m1")));
    assert!(!ran.text.contains("SECRET"), "{}", ran.text);

    assert_eq!(app.flush(super::LONG).await, "");
    let spans = traced.collector.spans();
    let process = of_message(&spans, "m1");
    let call = children(&spans, process)[0];
    assert_eq!(
        (&call.attributes["error.type"], call.error.as_deref()),
        (&json!("panicked"), Some("the worker panicked"))
    );
    assert_eq!(process.attributes["error.type"], "panicked");

    let sent = sent(app).await;
    let dead = [("type", "unknown"), ("reason", "panicked")];
    assert_eq!(sent.sum("worker_dead_letters_total", &dead), 1.0);
    let tries = [("service", "inventory"), ("outcome", "panicked")];
    assert_eq!(sent.count("worker_downstream_seconds", &tries), 1.0);
}
