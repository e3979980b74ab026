//! The SQS client of the mapping and of the code that sends messages.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::iter::successors;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::{Client, Config};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The environment variables with which a function uses SQS at `endpoint`. For an endpoint of AWS itself,
/// region and keys come from `caller`, which reads a variable of the caller's environment. Other endpoints
/// get a fixed region and test keys.
pub(super) fn environment(
    endpoint: &str,
    caller: impl Fn(&str) -> Option<String>,
) -> io::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned())]);
    let names = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    if is_aws(endpoint) {
        // This variable applies to SQS only. `AWS_ENDPOINT_URL` would redirect all services to the SQS
        // endpoint.
        variables = BTreeMap::from([("AWS_ENDPOINT_URL_SQS".to_owned(), endpoint.to_owned())]);
        for name in names {
            let value = caller(name)
                .ok_or_else(|| io::Error::other(format!("{endpoint} is AWS itself: {name} must be set")))?;
            variables.insert(name.to_owned(), value);
        }
        variables.extend(caller("AWS_SESSION_TOKEN").map(|token| ("AWS_SESSION_TOKEN".to_owned(), token)));
    } else {
        for (name, value) in names.into_iter().zip(["ap-northeast-2", "test", "test"]) {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(variables)
}

pub(super) fn is_aws(endpoint: &str) -> bool {
    let host = endpoint.split("://").last().unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws"]
        .iter()
        .any(|suffix| host.ends_with(suffix))
}

/// A client for `endpoint`, with the region and the keys in `environment`.
pub(super) fn client(endpoint: &str, environment: &BTreeMap<String, String>) -> Client {
    let variable = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        environment.get("AWS_SESSION_TOKEN").cloned(),
        None,
        "local",
    );
    let http = match endpoint.starts_with("https://") {
        true => Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        false => Builder::new().build_http(),
    };
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(variable("AWS_REGION")))
        .credentials_provider(credentials)
        .http_client(http);
    Client::from_conf(config.build())
}

/// An error of the SDK with its causes, each once. Without them, `Display` prints only "service error".
pub(super) fn failed(error: impl Error + 'static) -> io::Error {
    let mut text = error.to_string();
    for cause in causes(&error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    io::Error::other(text)
}

/// The error, and its causes.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}
