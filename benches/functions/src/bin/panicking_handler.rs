//! A function whose handler panics if the body of a record is `panic`. The tests that start processes use it
//! to check that a panic returns its record and no other. It also shows how to use the batch engine with
//! another handler.

#![forbid(unsafe_code)]

use std::future::ready;
use std::sync::Arc;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, Error, Runtime, service_fn};
use reservation_worker::config::Config;
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::telemetry::batch::BatchTelemetry;
use reservation_worker::telemetry::export::after_response::AfterResponse;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use sqs_batch::{BatchProcessor, Deadline, Handler, Record};

struct Panicking;

impl Handler for Panicking {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, record: &Record, _: &Job, _: Deadline) -> Outcome {
        assert_ne!(record.body.as_deref(), Some("panic"));
        Outcome::Success
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = Config::load().await?;
    logs::init(config.log_level);
    let processor = BatchProcessor::new(Panicking, config.batch)
        .with_observer(BatchTelemetry::new(config.metrics.metrics()));
    let handler = service_fn(async |event| processor.handle(event).await.map_err(Diagnostic::from));
    let invocations = Arc::new(Invocations::default());
    Runtime::new(handler).layer(AfterResponse { invocations, work: |_| ready(()).boxed() }).run().await
}
