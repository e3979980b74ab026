//! Starts the function: configuration, telemetry, clients, the Lambda runtime.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use futures_util::FutureExt;
use futures_util::future::join;
use lambda_runtime::{Diagnostic, Error, Runtime, service_fn};
use sqs_batch::BatchProcessor;
use sqs_batch::visibility::Visibility;
use tokio::sync::OnceCell;
use tracing::Level;

use crate::config::{self, Config, LoadError};
use crate::telemetry::batch::BatchTelemetry;
use crate::telemetry::export::after_response::{AfterResponse, PostedResponse};
use crate::telemetry::export::flusher::TelemetryFlusher;
use crate::telemetry::export::metrics::MetricsExporter;
use crate::telemetry::export::spans::SpanSender;
use crate::telemetry::export::{init_error, shutdown};
use crate::telemetry::invocation::Invocations;
use crate::telemetry::logs;
use crate::telemetry::traces::Traces;
use crate::worker::{Worker, recall};
use crate::{aws, http_client};

/// How long the worker waits before it connects to the inventory. By then the runtime has requested its first event.
/// An earlier connection would delay that request.
const CONNECT_DELAY: Duration = Duration::from_millis(2);

/// Runs the function until Lambda ends the process. Returns early if the function cannot start.
#[tokio::main(flavor = "current_thread")]
pub async fn run() -> ExitCode {
    let Some(runtime_api) = config::runtime_api() else {
        explain_how_to_run();
        return ExitCode::FAILURE;
    };
    let config = Config::load().await;
    logs::init(config.as_ref().map_or(Level::INFO, |config| config.log_level));
    for warning in config.iter().flat_map(|config| &config.warnings) {
        tracing::warn!("{warning}");
    }
    let Function { processor, invocations, flusher } = match Function::new(config) {
        Ok(function) => function,
        Err(error) => {
            init_error::report(&*error, &runtime_api).await;
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(async |event| processor.handle(event).await.map_err(Diagnostic::from));
    let flusher = Arc::new(flusher);
    if flusher.needs_shutdown_flush() {
        let flusher = flusher.clone();
        shutdown::prepare(&runtime_api, async move { flusher.shutdown().await }).await;
    }
    let work = {
        let processor = processor.clone();
        move |response: PostedResponse| {
            let (processor, flusher) = (processor.clone(), flusher.clone());
            async move { join(recall(&processor, response.time_left), flusher.after_response(response)).await.1 }
                .boxed()
        }
    };
    let after_response = AfterResponse { invocations: Arc::new(invocations), work };
    let runtime = Runtime::new(handler).layer(after_response).run();
    let connect = async {
        tokio::time::sleep(CONNECT_DELAY).await;
        processor.handler().connect().await;
    };
    match tokio::join!(runtime, connect).0 {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// Prints how to run the function, because a person has started it in a shell.
#[expect(clippy::print_stderr, reason = "the text is for a person, not for the log")]
fn explain_how_to_run() {
    eprintln!(
        "error: this is an AWS Lambda function, and the variable AWS_LAMBDA_RUNTIME_API is not set.\n\
         Run it with `make local` or `cargo lambda watch` (README.md), or deploy it with `make deploy`."
    );
}

/// What an invocation needs, made from the configuration.
struct Function {
    processor: Arc<BatchProcessor<Worker, BatchTelemetry>>,
    invocations: Invocations,
    flusher: TelemetryFlusher,
}

impl Function {
    fn new(config: Result<Config, LoadError>) -> Result<Self, Error> {
        let config = config?;
        let roots = http_client::web_roots();
        let metrics = config.metrics.metrics();
        let traces = config.spans.as_ref().map_or_else(Traces::default, |_| Traces::recording());
        let service_roots = config.service_roots(roots.clone());
        let worker = Worker::new(&config.reservation_api, &config.inventory, service_roots, metrics.clone())?;
        let visibility =
            Visibility::new(config.backoff, async |region| Client::new(&aws::config(region).await));
        let processor = BatchProcessor::new(worker, config.batch)
            .with_observer(BatchTelemetry::new(metrics.clone()))
            .with_visibility(visibility.with_queue_url(config.sqs_queue_url.map(String::from)));
        let processor = Arc::new(processor);
        let invocations = Invocations::new(metrics.clone(), traces.clone());
        let metrics = MetricsExporter::new(config.metrics, metrics, OnceCell::new(), std::io::stdout());
        let spans = SpanSender::new(config.spans, traces, roots);
        Ok(Self { processor, invocations, flusher: TelemetryFlusher { metrics, spans } })
    }
}
