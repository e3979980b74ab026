//! A configuration that is kept, in part, in Secrets Manager.

use reservation_worker::config::{Config, LoadError};
use reservation_worker::telemetry::export::spans::{OtlpProtocol, SpanDestination};
use serde_json::json;

/// Reads the configuration with this secret, or for want of it.
async fn load(variables: &[(&str, &str)], secret: Result<&str, &str>) -> Result<Config, LoadError> {
    let lookup = |name: &str| {
        let set = variables.iter().find(|(variable, _)| *variable == name);
        set.map(|(_, value)| (*value).to_owned())
    };
    let secret = secret.map(str::to_owned).map_err(str::to_owned);
    let fetch = move |name: String| {
        assert!(["traffictacos/reservation-worker", "other/name"].contains(&name.as_str()), "{name}");
        std::future::ready(secret.clone())
    };
    Config::from_sources(lookup, fetch).await
}

const USE: (&str, &str) = ("USE_SECRET_MANAGER", "true");
const INVENTORY: (&str, &str) = ("INVENTORY_GRPC_ADDR", "inventory:1");
const API: (&str, &str) = ("RESERVATION_API_BASE", "http://api");

#[tokio::test]
async fn a_value_in_the_secret_takes_precedence_over_its_variable_and_other_variables_apply() {
    let secret = json!({
        "inventory_grpc_addr": "secret:2",
        "sqs_queue_url": "https://sqs.example/1/q",
        "otel_endpoint": "http://collector:4317",
        "reservation_api_token": "SECRET",
        "reservation_api_base": "",
    });
    let config = load(&[USE, INVENTORY, API], Ok(&secret.to_string())).await.unwrap();
    assert_eq!(config.inventory.address.as_str(), "http://secret:2/");
    assert_eq!(config.reservation_api.base.as_str(), "http://api/");
    assert_eq!(config.sqs_queue_url.unwrap().as_str(), "https://sqs.example/1/q");
    let endpoint = "http://collector:4317".parse().unwrap();
    assert_eq!(config.spans, Some(SpanDestination::Otlp { endpoint, protocol: OtlpProtocol::Grpc }));
    assert_eq!(config.reservation_api.token.unwrap().expose(), "SECRET");
}

#[tokio::test]
async fn without_use_secret_manager_no_secret_is_read() {
    for flag in ["", "false"] {
        let variables = [("USE_SECRET_MANAGER", flag), INVENTORY, API];
        let config = load(&variables, Err("must not be read")).await.unwrap();
        assert_eq!(config.inventory.address.as_str(), "http://inventory:1/");
    }
    let error = load(&[("USE_SECRET_MANAGER", "yes"), INVENTORY, API], Err("must not be read")).await;
    let told = "invalid configuration: USE_SECRET_MANAGER=yes: is neither true nor false";
    assert_eq!(error.unwrap_err().to_string(), told);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_named_with_the_reason_and_no_value() {
    let cases = [
        (Err("cannot be read: AccessDeniedException"), "cannot be read: AccessDeniedException"),
        (Ok("SECRET"), "is not a JSON object"),
        (Ok("[\"SECRET\"]"), "is not a JSON object"),
        (Ok("null"), "is not a JSON object"),
        (Ok("{\"inventory_grpc_addr\": \"SECRET\""), "is not a JSON object"),
        (Ok("{\"reservation_api_token\": [\"SECRET\"]}"), "reservation_api_token is not a string"),
        (Ok("{\"reservation_api_token\": null}"), "reservation_api_token is not a string"),
    ];
    for (secret, reason) in cases {
        let variables = [USE, INVENTORY, API, ("SECRET_NAME", "other/name")];
        let error = load(&variables, secret).await.unwrap_err();
        assert_eq!(error.to_string(), format!("secret other/name: {reason}"));
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn unknown_keys_of_the_secret_cause_one_warning_that_shows_no_value() {
    let secret = json!({
        "reservation_api_token": "SECRET",
        "worker_concurrency": "SECRET",
        "db_password": ["SECRET"],
    });
    let variables = [USE, INVENTORY, ("RESERVATION_API_BASE", "https://api")];
    let config = load(&variables, Ok(&secret.to_string())).await.unwrap();
    let warning = "The secret traffictacos/reservation-worker has unknown keys, which are ignored: \
                   db_password, worker_concurrency.";
    assert_eq!(config.warnings, [warning]);
    assert_eq!(config.reservation_api.token.as_ref().unwrap().expose(), "SECRET");
    assert_eq!(config.batch.concurrency, 20);
    assert!(!format!("{config:?}").contains("SECRET"), "{config:?}");
}

#[tokio::test]
async fn a_wrong_value_in_the_secret_is_reported_with_the_other_problems_and_not_shown() {
    let secret = json!({ "inventory_grpc_addr": "SECRET", "reservation_api_token": "SECRET SECRET" });
    let error = load(&[USE, ("MAX_RETRIES", "0")], Ok(&secret.to_string())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid configuration: \
         INVENTORY_GRPC_ADDR=(in the secret): is neither host:port nor a URL; \
         RESERVATION_API_BASE=(unset): is required; \
         RESERVATION_API_TOKEN=(hidden): contains a character that is not allowed in a bearer token; \
         MAX_RETRIES=0: is not a whole number from 1 to 1000"
    );
}
