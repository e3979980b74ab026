//! What the AWS clients share: how they reach AWS, and what their errors say.

use std::error::Error;
use std::iter::successors;

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
