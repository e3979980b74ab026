//! A configuration that is kept, in part, in Secrets Manager.

use std::collections::BTreeMap;
use std::time::Duration;

use reservation_worker::config::{Config, LoadError};
use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::{Exit, Function};
use serde_json::{Value, json};

use crate::release;
use crate::test_app::{expired, sqs};
use crate::wire::Server;

/// Reads the configuration with this secret, or for want of it.
async fn load(variables: &[(&str, &str)], secret: Result<&str, &str>) -> Result<Config, LoadError> {
    let lookup = |name: &str| {
        let set = variables.iter().find(|(variable, _)| *variable == name);
        set.map(|(_, value)| (*value).to_owned())
    };
    Config::from_sources(lookup, async |name| {
        assert!(["traffictacos/reservation-worker", "other/name"].contains(&name.as_str()), "{name}");
        secret.map(str::to_owned).map_err(str::to_owned)
    })
    .await
}

const USE: (&str, &str) = ("USE_SECRET_MANAGER", "true");
const INVENTORY: (&str, &str) = ("INVENTORY_GRPC_ADDR", "inventory:1");
const API: (&str, &str) = ("RESERVATION_API_BASE", "http://api");

#[tokio::test]
async fn the_secret_goes_before_the_variables_and_leaves_the_rest_to_them() {
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
    assert_eq!(config.otlp_endpoint.unwrap().as_str(), "http://collector:4317/");
    assert_eq!(config.reservation_api.token.unwrap().expose(), "SECRET");
}

#[tokio::test]
async fn no_secret_is_read_unless_it_is_asked_for() {
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
        (
            Ok("{\"SECRET\": \"SECRET\"}"),
            "has a key that is none of inventory_grpc_addr, otel_endpoint, reservation_api_base, \
             reservation_api_token, sqs_queue_url",
        ),
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
async fn a_setting_of_the_secret_that_is_wrong_is_told_with_the_others_and_not_shown() {
    let secret = json!({ "inventory_grpc_addr": "SECRET", "reservation_api_token": "SECRET SECRET" });
    let error = load(&[USE, ("MAX_RETRIES", "0")], Ok(&secret.to_string())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid configuration: \
         INVENTORY_GRPC_ADDR=(in the secret): is neither host:port nor a URL; \
         RESERVATION_API_BASE=(unset): is required; \
         RESERVATION_API_TOKEN=(hidden): has a character that a bearer token cannot have; \
         MAX_RETRIES=0: is not a whole number from 1 to 1000"
    );
}

/// The function, with everything from a Secrets Manager that gives this reply.
async fn function(manager: &Server, more: &[(&str, &str)]) -> Function {
    let mut variables = BTreeMap::from([
        ("USE_SECRET_MANAGER", "true".to_owned()),
        ("AWS_REGION", "ap-northeast-2".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", manager.base()),
    ]);
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    Function::start(&release::built("reservation-worker"), variables).await.unwrap()
}

/// Accepts connections and says nothing.
async fn silent() -> Server {
    Server::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await
}

fn http(status: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_function_works_with_all_its_settings_from_secrets_manager() {
    let services = Services::start().await.unwrap();
    let settings = json!({
        "inventory_grpc_addr": services.inventory_addr(),
        "reservation_api_base": services.reservation_api_base(),
        "reservation_api_token": "SECRET",
    });
    let manager = Server::replying(http("200 OK", &json!({ "SecretString": settings.to_string() }))).await;
    let mut function = function(&manager, &[]).await;

    let event = sqs([("m1", expired("unknown"))]);
    let invoked = function.invoke(&event, Duration::from_secs(60)).await.unwrap();

    assert!(invoked.response.is_ok());
    assert_eq!(services.calls()[0].headers["authorization"], "Bearer SECRET");
    assert!(!function.raw_log().concat().contains("SECRET"));
}

/// On a app the SDK's chain asks for keys there last. Its own time-out is 1 s.
#[tokio::test]
async fn a_metadata_service_that_is_silent_is_given_up_for_its_own_sake() {
    let (manager, metadata) = (silent().await, silent().await);
    let endpoint = metadata.base();
    let more = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()),
        ("HOME", "/nowhere"),
    ];
    let exit = function(&manager, &more).await.exit(Duration::from_secs(60)).await.unwrap();
    let told = exit.init_error.unwrap()["errorMessage"].to_string();
    assert!(told.contains("no providers in chain provided credentials"), "{told}");
    assert!(metadata.accepted() > 0);
    assert_eq!(manager.accepted(), 0);
}

#[tokio::test]
async fn an_init_error_says_what_is_missing_to_ask_secrets_manager() {
    let manager = silent().await;
    let cases = [
        ("AWS_ACCESS_KEY_ID", "no providers in chain provided credentials"),
        ("AWS_REGION", "invalid value for field: `region` - must be a valid host label"),
    ];
    for (missing, reason) in cases {
        let more = [(missing, ""), ("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nowhere")];
        let Exit { init_error, .. } =
            function(&manager, &more).await.exit(Duration::from_secs(60)).await.unwrap();
        let told = format!("secret traffictacos/reservation-worker: cannot be read: {reason}");
        assert_eq!(init_error.unwrap()["errorMessage"], told);
    }
}

#[tokio::test]
async fn an_init_error_says_why_secrets_manager_gives_no_secret() {
    let denied = json!({ "__type": "AccessDeniedException", "Message": "SECRET" });
    let cases = [
        (Server::replying(http("400 Bad Request", &denied)).await, "cannot be read: AccessDeniedException"),
        (
            Server::replying(http("200 OK", &json!({ "SecretBinary": "U0VDUkVU" }))).await,
            "is binary, not text",
        ),
        (silent().await, "cannot be read: no answer within 5 s"),
    ];
    for (manager, reason) in cases {
        let mut function = function(&manager, &[("SECRET_NAME", "other/name")]).await;
        let Exit { status, init_error } = function.exit(Duration::from_secs(60)).await.unwrap();
        assert!(!status.success());
        assert_eq!(init_error.unwrap()["errorMessage"], format!("secret other/name: {reason}"));
        assert!(!function.raw_log().concat().contains("SECRET"));
    }
}
