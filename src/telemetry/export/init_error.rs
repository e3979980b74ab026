//! Reports to Lambda why the function cannot start, so that the reason is shown as the error of the invocation and
//! not only in the log.

use std::error::Error;

use lambda_runtime_api_client::{BoxError, Client, body::Body};

/// Logs the error and posts it to the Runtime API at `runtime_api` (`host:port`). The caller must then end the process.
pub async fn report(error: &(dyn Error + Send + Sync), runtime_api: &str) {
    tracing::error!("{error}");
    if let Err(failure) = post(runtime_api, error).await {
        tracing::error!(error = failure, "the error could not be reported to Lambda");
    }
}

async fn post(runtime_api: &str, error: &(dyn Error + Send + Sync)) -> Result<(), BoxError> {
    const ERROR_TYPE: &str = "Runtime.InitError";
    let body = serde_json::json!({ "errorType": ERROR_TYPE, "errorMessage": error.to_string() });
    let request = http::Request::post("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", ERROR_TYPE)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))?;
    Client::builder().with_endpoint(runtime_api.parse()?).build()?.call(request).await?;
    Ok(())
}
