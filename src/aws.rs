//! What the AWS clients have in common: how they connect to AWS, and how their errors are described.

use std::error::Error;
use std::iter::successors;
use std::mem;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::ProvideCredentials;
use aws_sdk_sqs::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_sqs::error::{BoxError, ConnectorError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::HttpError;

use crate::http_client::{self, connection_failure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`). A connection may have died while the function was
/// frozen. The limit leaves time for one lost packet, which TCP sends again after a second.
const MAX_UNACKNOWLEDGED_TIME: Duration = Duration::from_secs(2);

/// The configuration that the environment describes: `AWS_REGION`, `AWS_ENDPOINT_URL*`, `AWS_PROFILE`, credentials.
///
/// Loading it is expensive, so it is loaded only when a client is needed.
pub async fn config(region: Option<Region>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    // Without an HTTP client each call returns an error.
    if let Ok(http) = http() {
        loader = loader.http_client(http);
    }
    // Loading the default chain of credential providers takes most of the time. In Lambda it is not needed, because
    // Lambda sets the keys in the environment.
    let keys = EnvironmentVariableCredentialsProvider::new();
    if keys.provide_credentials().await.is_ok() {
        loader = loader.credentials_provider(keys);
    }
    if let Some(region) = region {
        loader = loader.region(region);
    }
    let config = loader.load().await;
    let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    config.into_builder().retry_config(reuse_connections(retry)).build()
}

/// Stops the SDK from closing a connection after an error, because the client of [`http()`] manages its connections
/// itself.
pub fn reuse_connections(retry: RetryConfig) -> RetryConfig {
    retry.with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// The HTTP client for the AWS SDKs. The default client of the SDKs reads all certificates of the machine before its
/// first request.
///
/// # Errors
///
/// When the TLS or the HTTP client cannot be set up.
pub fn http() -> Result<SharedHttpClient, BoxError> {
    let client = http_client::builder(http_client::tls(http_client::web_roots())?)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(MAX_UNACKNOWLEDGED_TIME)
        .build()?;
    Ok(http_client_fn(move |settings, _| {
        SharedHttpConnector::new(Http { client: client.clone(), timeout: settings.read_timeout() })
    }))
}

/// Sends the requests of an SDK through reqwest.
#[derive(Debug, Clone)]
struct Http {
    client: reqwest::Client,
    timeout: Option<Duration>,
}

impl Http {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (head, body) = request.into_parts();
        let body = body.bytes().ok_or_else(|| ConnectorError::user("the body is a stream".into()))?.to_vec();
        let mut request = reqwest::Request::try_from(http::Request::from_parts(head, body))
            .map_err(|error| ConnectorError::user(error.into()))?;
        *request.timeout_mut() = self.timeout;
        let mut response = self.client.execute(request).await.map_err(connector_error)?;
        let (status, headers) = (response.status(), mem::take(response.headers_mut()));
        let body = response.bytes().await.map_err(connector_error)?;
        let mut response = http::Response::new(body.into());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        response.try_into().map_err(|error: HttpError| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

/// Converts the error into one that the SDK retries.
fn connector_error(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

/// The error code of the service, or why the service could not be reached.
pub fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String
where
    SdkError<E>: Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    code.or_else(|| connection_failure(error))
        .or_else(|| not_sent(error))
        .unwrap_or_else(|| error.to_string())
}

/// The SDK's reason for not sending a request: for example, there are no credentials or no region.
fn not_sent<E>(error: &SdkError<E>) -> Option<String>
where
    SdkError<E>: Error,
{
    match error {
        SdkError::ConstructionFailure(_) => {}
        SdkError::DispatchFailure(failure) if failure.is_other() => {}
        _ => return None,
    }
    successors(error.source(), |cause: &&dyn Error| (*cause).source()).last().map(ToString::to_string)
}
