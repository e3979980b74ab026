//! Configuration, then telemetry, then clients, then the Lambda runtime.

use std::process::ExitCode;
use std::time::Duration;

use lambda_runtime::{Error, Runtime, service_fn};
use reservation_worker::batch::Batch;
use reservation_worker::config::{Config, LoadError};
use reservation_worker::telemetry::traces::Traces;
use reservation_worker::telemetry::{init_error, logs};
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use rustls::RootCertStore;
use tower::util::ThenLayer;
use tracing::Level;

/// A collector that needs longer than this holds the next invocation up, and the time is billed.
const FLUSH: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::load().await;
    logs::init(config.as_ref().map_or(Level::INFO, |config| config.log_level));
    let (batch, traces) = match start(config) {
        Ok(started) => started,
        Err(error) => {
            init_error::report(&*error).await;
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(async |event| batch.handle(event).await.map_err(Error::from));
    let after_response = ThenLayer::new(|done| async {
        traces.flush(FLUSH).await;
        done
    });
    match Runtime::new(handler).layer(after_response).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Result<Config, LoadError>) -> Result<(Batch<Worker>, Traces), Error> {
    let config = config?;
    let web_roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let traces = Traces::new(&config, &web_roots);
    let worker = Worker::new(&config, web_roots)?;
    let batch = Batch::new(&config, worker, Visibility::new(&config)).traced(traces.clone());
    Ok((batch, traces))
}
