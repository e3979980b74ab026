//! The secret in Secrets Manager, which contains settings (contract section 7).

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use serde_json::{Map, Value};

use super::parse;
use super::variables::{self, Variable};
use crate::aws;
use crate::services::reservation_api::BearerToken;

/// The time-out of reading the secret. Lambda allows 10 s for the whole start.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The known keys of a secret, and the variables that they take precedence over.
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

/// The content of a secret.
#[derive(Default)]
pub(super) struct Secret {
    /// The variables that it sets.
    pub(super) variables: BTreeMap<&'static str, String>,
    /// The keys that set no variable.
    pub(super) unknown_keys: Vec<String>,
}

impl Secret {
    /// Reads the text of a secret.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be used.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let settings: Map<String, Value> = serde_json::from_str(text).map_err(|_| "is not a JSON object")?;
        let mut secret = Self::default();
        for (key, value) in settings {
            match (KEYS.iter().find(|(known, _)| *known == key), value) {
                (None, _) => secret.unknown_keys.push(key),
                (Some((_, variable)), Value::String(value)) => {
                    secret.variables.insert(variable.name, value);
                }
                (Some(_), _) => return Err(format!("{key} is not a string")),
            }
        }
        Ok(secret)
    }

    /// The token of the reservation API.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    pub(super) fn token(&self) -> Result<BearerToken, String> {
        let token = self.variables.get(variables::RESERVATION_API_TOKEN.name).map(|token| token.trim());
        let token = token.filter(|token| !token.is_empty()).ok_or("has no reservation_api_token")?;
        parse::bearer_token(token).map(BearerToken::new)
    }
}
