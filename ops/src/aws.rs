//! Access to AWS, with the settings of the AWS CLI.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use reservation_worker::aws::{self, reason};

use crate::cli::Settings;

/// The time-out of a read. It is longer than a long poll.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The least number of attempts of a call: a command that works for an hour should not fail because SQS throttles it.
const MIN_ATTEMPTS: u32 = 5;

const NO_CREDENTIALS: &str =
    "no AWS credentials were found. Log in, for example with `aws sso login`, or set AWS_PROFILE";

/// The configuration that the arguments, the environment and the files of the AWS CLI describe.
pub(crate) async fn config(settings: &Settings) -> Result<SdkConfig> {
    let http = aws::http().map_err(|error| anyhow!("no HTTP client: {error}"))?;
    let timeouts = aws_config::timeout::TimeoutConfig::builder().read_timeout(READ_TIMEOUT).build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &settings.endpoint_url {
        loader = loader.endpoint_url(endpoint);
    }
    let config = loader.load().await;
    let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let attempts = retry.max_attempts().max(MIN_ATTEMPTS);
    let retry = aws::reuse_connections(retry.with_max_attempts(attempts));
    let credentials = config.credentials_provider().context("no AWS credentials are configured")?;
    let credentials = SharedCredentialsProvider::new(CliCredentials(credentials));
    Ok(config.into_builder().credentials_provider(credentials).retry_config(retry).build())
}

/// The credentials that the AWS CLI would use. If there are none, the error says what to do: that of the SDK says only
/// where it has looked.
#[derive(Debug)]
struct CliCredentials(SharedCredentialsProvider);

impl ProvideCredentials for CliCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.0.provide_credentials().await.map_err(|error| match error {
                CredentialsError::CredentialsNotLoaded(_) => CredentialsError::not_loaded(NO_CREDENTIALS),
                error => error,
            })
        })
    }
}

/// The parameters and the outputs of a stack, by name.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) parameters: HashMap<String, String>,
    pub(crate) outputs: HashMap<String, String>,
}

/// Reads the parameters and the outputs of a stack.
pub(crate) async fn stack(config: &SdkConfig, stack: &str) -> Result<Stack> {
    let call = aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(stack);
    let reply = call.send().await.map_err(|error| anyhow!("stack {stack}: {}", reason(&error)))?;
    let stack = reply.stacks.unwrap_or_default().into_iter().next().context("the stack does not exist")?;
    let parameters = stack.parameters.unwrap_or_default().into_iter();
    let outputs = stack.outputs.unwrap_or_default().into_iter();
    Ok(Stack {
        parameters: parameters.filter_map(|it| it.parameter_key.zip(it.parameter_value)).collect(),
        outputs: outputs.filter_map(|it| it.output_key.zip(it.output_value)).collect(),
    })
}

/// The ARN of the caller.
pub(crate) async fn caller(config: &SdkConfig) -> Result<String> {
    let reply = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let reply = reply.map_err(|error| anyhow!("sts:GetCallerIdentity: {}", reason(&error)))?;
    reply.arn.context("sts:GetCallerIdentity returned no ARN")
}

/// The text of a secret.
pub(crate) async fn secret(config: SdkConfig, name: String) -> Result<String, String> {
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let secret = client.get_secret_value().secret_id(name).send().await;
    let secret = secret.map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    secret.secret_string.ok_or_else(|| "is binary, not text".to_owned())
}
