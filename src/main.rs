//! Configuration, then telemetry, then clients, then the Lambda runtime.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt;
use lambda_runtime::{Error, Runtime, service_fn};
use reservation_worker::batch::Batch;
use reservation_worker::config::{self, Config, LoadError};
use reservation_worker::telemetry::after_response::{AfterResponse, Answered};
use reservation_worker::telemetry::metrics::{Metrics, Moment, Sink};
use reservation_worker::telemetry::{init_error, logs, shutdown};
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use rustls::RootCertStore;
use tokio::sync::OnceCell;
use tracing::Level;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::load().await;
    logs::init(config.as_ref().map_or(Level::INFO, |config| config.log_level));
    let (batch, metrics) = match start(config) {
        Ok(started) => started,
        Err(error) => {
            init_error::report(&*error).await;
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(async |event| batch.handle(event).await.map_err(Error::from));
    let metrics = Arc::new(metrics);
    if let Some(runtime_api) = config::runtime_api().filter(|_| metrics.minds_shutdown()) {
        let metrics = metrics.clone();
        shutdown::prepare(&runtime_api, async move { metrics.shutdown().await }).await;
    }
    let after_response = AfterResponse(move |answered: Answered| {
        let metrics = metrics.clone();
        async move { metrics.after_response(&answered.request_id, answered.left, Moment::now()).await }
            .boxed()
    });
    match Runtime::new(handler).layer(after_response).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Result<Config, LoadError>) -> Result<(Batch<Worker>, Sink), Error> {
    let config = config?;
    let web_roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let metrics = Metrics::new(&config);
    let worker = Worker::new(&config, web_roots, metrics.clone())?;
    let visibility = Visibility::new(&config, metrics.clone());
    let batch = Batch::new(&config, worker, visibility, metrics.clone());
    Ok((batch, Sink::new(&config, metrics, OnceCell::new(), std::io::stdout())))
}
