//! What the AWS clients share: how they reach AWS, and what their errors say.

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

use crate::fault::cause;
use crate::http_client;

/// The configuration that the environment describes: `AWS_REGION`, `AWS_ENDPOINT_URL*`, `AWS_PROFILE`,
/// credentials. Not cheap: made when a client is needed, and not before.
pub async fn config(region: Option<Region>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    // Without one every call says that it has none.
    if let Ok(http) = http() {
        loader = loader.http_client(http);
    }
    // The chain that looks further is most of the cost, and Lambda gives the keys in the environment.
    let keys = EnvironmentVariableCredentialsProvider::new();
    if keys.provide_credentials().await.is_ok() {
        loader = loader.credentials_provider(keys);
    }
    if let Some(region) = region {
        loader = loader.region(region);
    }
    let config = loader.load().await;
    let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    config.into_builder().retry_config(same_connections(retry)).build()
}

/// The SDKs would have a connection closed after an error, but [`http()`] keeps its connections to itself.
pub fn same_connections(retry: RetryConfig) -> RetryConfig {
    retry.with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// The SDKs' way to AWS. Their own client reads all certificates of the machine before its first request.
///
/// # Errors
///
/// When the TLS or the HTTP client cannot be set up.
pub fn http() -> Result<SharedHttpClient, BoxError> {
    let client = http_client::builder(http_client::web_roots())?
        .connect_timeout(CONNECT)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .build()?;
    Ok(http_client_fn(move |settings, _| {
        SharedHttpConnector::new(Http { client: client.clone(), timeout: settings.read_timeout() })
    }))
}

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
        let mut response = self.client.execute(request).await.map_err(not_answered)?;
        let (status, headers) = (response.status(), mem::take(response.headers_mut()));
        let body = response.bytes().await.map_err(not_answered)?;
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

/// Of a kind that the SDK tries again.
fn not_answered(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

/// The service's error code, else why it could not be reached.
pub fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String
where
    SdkError<E>: Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    code.or_else(|| cause(error)).or_else(|| not_sent(error)).unwrap_or_else(|| error.to_string())
}

/// Why a request never left, in the SDK's own words: there are no credentials, or no region.
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

const CONNECT: Duration = Duration::from_secs(3);
/// What a frozen function comes back to may be no connection any more. Long enough for a first packet that is
/// lost: it is sent again after a second.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
