//! Configuration, then telemetry, then clients, then the Lambda runtime.

use std::process::ExitCode;

use lambda_runtime::{Error, Runtime, service_fn};
use reservation_worker::batch::Batch;
use reservation_worker::config::{Config, LoadError};
use reservation_worker::telemetry::traces::Traces;
use reservation_worker::telemetry::{init_error, logs};
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use rustls::RootCertStore;
use tracing::Level;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::load().await;
    logs::init(config.as_ref().map_or(Level::INFO, |config| config.log_level));
    let batch = match batch(config) {
        Ok(batch) => batch,
        Err(error) => {
            init_error::report(&*error).await;
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(async |event| batch.handle(event).await.map_err(Error::from));
    match Runtime::new(handler).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn batch(config: Result<Config, LoadError>) -> Result<Batch<Worker>, Error> {
    let config = config?;
    let web_roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let traces = Traces::new(&config, &web_roots);
    let worker = Worker::new(&config, web_roots)?;
    Ok(Batch::new(&config, worker, Visibility::new(&config)).traced(traces))
}
