//! Settings in Secrets Manager (contract section 7).

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use serde_json::{Map, Value};

use super::variables::{self, Variable};
use crate::aws;

/// Lambda allows 10 s for the whole start.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The keys that a secret may have, and the variables that they take precedence over.
const KEYS: [(&str, Variable); 5] = [
    ("inventory_grpc_addr", variables::INVENTORY_GRPC_ADDR),
    ("otel_endpoint", variables::OTEL_EXPORTER_OTLP_ENDPOINT),
    ("reservation_api_base", variables::RESERVATION_API_BASE),
    ("reservation_api_token", variables::RESERVATION_API_TOKEN),
    ("sqs_queue_url", variables::SQS_QUEUE_URL),
];

/// A secret that cannot be used. The error contains no value of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("secret {name}: {reason}")]
pub struct SecretError {
    /// `SECRET_NAME`.
    pub name: String,
    /// Why it cannot be used.
    pub reason: String,
}

/// Reads the text of a secret from Secrets Manager.
///
/// # Errors
///
/// The reason why it cannot be read.
pub(super) async fn fetch(name: String) -> Result<String, String> {
    let fetched = async {
        let client = Client::new(&aws::config(None).await);
        client.get_secret_value().secret_id(name).send().await
    };
    match tokio::time::timeout(TIMEOUT, fetched).await {
        Ok(Ok(secret)) => secret.secret_string.ok_or_else(|| "is binary, not text".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be read: {}", aws::reason(&error))),
        Err(_) => Err(format!("cannot be read: no reply within {} s", TIMEOUT.as_secs())),
    }
}

/// The variables that the text of a secret sets.
///
/// # Errors
///
/// The reason why it cannot be used.
pub(super) fn variables(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
    let settings: Map<String, Value> = serde_json::from_str(text).map_err(|_| "is not a JSON object")?;
    let variables = settings.into_iter().map(|(key, value)| {
        let known = KEYS.iter().find(|(known, _)| *known == key);
        let (_, variable) = known.ok_or_else(|| {
            let known = KEYS.map(|(known, _)| known).join(", ");
            format!("has a key that is none of {known}")
        })?;
        match value {
            Value::String(value) => Ok((variable.name, value)),
            _ => Err(format!("{key} is not a string")),
        }
    });
    variables.collect()
}
