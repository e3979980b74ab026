//! Configuration, then telemetry, then clients, then the Lambda runtime.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, Error, Runtime, service_fn};
use reservation_worker::batch::Batch;
use reservation_worker::config::{self, Config, LoadError};
use reservation_worker::http_client;
use reservation_worker::telemetry::after_response::AfterResponse;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::metrics::{ClockReading, Metrics, Sink};
use reservation_worker::telemetry::traces::Traces;
use reservation_worker::telemetry::{TelemetryFlusher, init_error, logs, shutdown};
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use tokio::sync::OnceCell;
use tracing::Level;

/// By then the runtime has asked for its first event, which a connection to the inventory must not delay, and the
/// event's first call is on its way.
const HEAD_START: Duration = Duration::from_millis(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::load().await;
    logs::init(config.as_ref().map_or(Level::INFO, |config| config.log_level));
    let (batch, invocations, unsent) = match start(config) {
        Ok(started) => started,
        Err(error) => {
            init_error::report(&*error).await;
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(async |event| batch.handle(event).await.map_err(Diagnostic::from));
    let unsent = Arc::new(unsent);
    if let Some(runtime_api) = config::runtime_api().filter(|_| unsent.needs_shutdown_flush()) {
        let unsent = unsent.clone();
        shutdown::prepare(&runtime_api, async move { unsent.shutdown().await }).await;
    }
    let work = move |answered| {
        let unsent = unsent.clone();
        async move { unsent.after_response(answered).await }.boxed()
    };
    let after_response = AfterResponse { invocations: Arc::new(invocations), work };
    let runtime = Runtime::new(handler).layer(after_response).run();
    let connect = async {
        tokio::time::sleep(HEAD_START).await;
        batch.handler().connect(ClockReading::now()).await;
    };
    match tokio::join!(runtime, connect).0 {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Result<Config, LoadError>) -> Result<(Batch<Worker>, Invocations, TelemetryFlusher), Error> {
    let config = config?;
    let web_roots = http_client::web_roots();
    let (metrics, traces) = (Metrics::new(&config), Traces::new(&config, &web_roots));
    let worker = Worker::new(&config, web_roots, metrics.clone())?;
    let visibility = Visibility::new(&config, metrics.clone());
    let batch = Batch::new(&config, worker, visibility, metrics.clone());
    let invocations = Invocations::new(metrics.clone(), traces.clone());
    let metrics = Sink::new(&config, metrics, OnceCell::new(), std::io::stdout());
    Ok((batch, invocations, TelemetryFlusher { metrics, traces }))
}
