//! What the AWS clients share: how they reach AWS, and what their errors say.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{Builder, tls};

use crate::fault::cause;

/// The configuration that the environment describes: `AWS_REGION`, `AWS_ENDPOINT_URL*`, `AWS_PROFILE`,
/// credentials. Not cheap: made when a client is needed, and not before.
pub async fn config(region: Option<Region>) -> SdkConfig {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = Builder::new().tls_provider(ring).build_https();
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    match region {
        Some(region) => loader.region(region).load().await,
        None => loader.load().await,
    }
}

/// The service's error code, else why it could not be reached.
pub fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String
where
    SdkError<E>: std::error::Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    code.or_else(|| cause(error)).unwrap_or_else(|| error.to_string())
}
