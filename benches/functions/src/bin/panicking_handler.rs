//! A function whose handler panics if the body of a record is `panic`. The tests that start processes use it
//! to check that a panic returns its record and no other. It also shows how to use the batch engine with
//! another handler.

#![forbid(unsafe_code)]

use std::future::ready;
use std::sync::Arc;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, Error, Runtime, service_fn};
use reservation_worker::batch::{Batch, Handler, Job};
use reservation_worker::config::Config;
use reservation_worker::outcome::Outcome;
use reservation_worker::record::Record;
use reservation_worker::retry::Deadline;
use reservation_worker::telemetry::after_response::AfterResponse;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use tracing::{Span, error_span};

struct Panicking;

struct Body(String);

impl Handler for Panicking {
    type Job = Body;

    fn read(&self, record: &Record) -> Body {
        Body(record.body.clone().unwrap_or_default())
    }

    async fn work(&self, body: &Body, _: Deadline) -> Outcome {
        assert_ne!(body.0, "panic");
        Outcome::Success
    }
}

impl Job for Body {
    type Identity = String;

    fn lane(&self) -> Option<(&str, &String)> {
        None
    }

    fn span(&self, record: &Record) -> Span {
        error_span!("record", message_id = record.message_id)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = Config::load().await?;
    logs::init(config.log_level);
    let metrics = Metrics::new(&config);
    let batch = Batch::new(&config, Panicking, Visibility::new(&config, metrics.clone()), metrics);
    let handler = service_fn(async |event| batch.handle(event).await.map_err(Diagnostic::from));
    let invocations = Arc::new(Invocations::default());
    Runtime::new(handler).layer(AfterResponse { invocations, work: |_| ready(()).boxed() }).run().await
}
