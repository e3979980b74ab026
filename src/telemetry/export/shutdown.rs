//! Runs work before the environment ends. Lambda sends SIGTERM, and waits, only if an extension is registered, so the
//! function registers one that subscribes to no events.
//!
//! `lambda_runtime` can do this too, but it panics where no extension may be registered, and it writes lines to
//! stderr that are not JSON.

use http::{HeaderValue, Request};
use lambda_runtime_api_client::{BoxError, Client, body::Body};
use tokio::signal::unix::{SignalKind, signal};

/// Registers the extension. When SIGTERM arrives, `last_work` runs, and then the process ends. This must be called
/// before the first event is requested. If the extension cannot be registered, the function still works.
pub async fn prepare(runtime_api: &str, last_work: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = register(runtime_api).await {
        tracing::warn!(error, "shutdown is not announced: the metrics of the last seconds will be lost");
    }
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::spawn(async move {
                terminated.recv().await;
                last_work.await;
                std::process::exit(0);
            });
        }
        Err(error) => {
            tracing::warn!(%error, "cannot wait for SIGTERM: the metrics of the last seconds will be lost");
        }
    }
}

async fn register(runtime_api: &str) -> Result<(), BoxError> {
    let client = Client::builder().with_endpoint(runtime_api.parse()?).build()?;
    let request = Request::post("/2020-01-01/extension/register")
        .header("lambda-extension-name", concat!(env!("CARGO_PKG_NAME"), "-shutdown"))
        .header("content-type", "application/json")
        .body(Body::from(r#"{"events":[]}"#.to_owned()))?;
    let reply = client.call(request).await?;
    let id: Option<HeaderValue> = reply.headers().get("lambda-extension-identifier").cloned();
    let id = id.filter(|_| reply.status().is_success()).ok_or_else(|| reply.status().to_string())?;
    let next = Request::get("/2020-01-01/extension/event/next")
        .header("lambda-extension-identifier", id)
        .body(Body::empty())?;
    // Lambda waits until each extension has requested its first event. This request is never answered.
    tokio::spawn(async move { client.call(next).await });
    Ok(())
}
