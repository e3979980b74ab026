//! The configuration is in Secrets Manager, and the function reads it at its start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::{Exit, Function};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::function::{LONG, binary, hold, returned};
use crate::sqs_event::{expired, sqs};
use crate::wire::{Server, request};

/// Starts the function with all its settings in this Secrets Manager.
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
    Function::start(&binary("reservation-worker"), variables).await.unwrap()
}

/// A server that accepts connections and never replies.
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
async fn the_function_works_with_all_its_settings_in_secrets_manager() {
    let services = Services::start().await.unwrap();
    let settings = json!({
        "inventory_grpc_addr": services.inventory_addr(),
        "reservation_api_base": services.reservation_api_base(),
        "reservation_api_token": "SECRET",
    });
    let manager = Server::replying(http("200 OK", &json!({ "SecretString": settings.to_string() }))).await;
    let mut function = function(&manager, &[]).await;

    let event = sqs([("m1", expired("unknown"))]);
    let invoked = function.invoke(&event, LONG).await.unwrap();

    assert!(invoked.response.is_ok());
    assert_eq!(services.calls()[0].headers["authorization"], "Bearer SECRET");
    assert!(!function.raw_log().concat().contains("SECRET"));
}

#[tokio::test]
async fn a_rotated_token_is_read_again_and_no_record_is_returned() {
    let services = Services::start().await.unwrap();
    services.require_token("SECRET-2");
    let reads = Arc::new(AtomicUsize::new(0));
    let settings = json!({
        "inventory_grpc_addr": services.inventory_addr(),
        "reservation_api_base": services.reservation_api_base(),
    });
    let manager = Server::start(move |mut stream| {
        let mut settings = settings.clone();
        let read = reads.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            settings["reservation_api_token"] = format!("SECRET-{read}").into();
            request(&mut stream).await;
            let reply = http("200 OK", &json!({ "SecretString": settings.to_string() }));
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    hold(&services, "r1");
    let mut function = function(&manager, &[]).await;

    let invoked = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();

    assert_eq!(returned(&invoked), [""; 0]);
    let sent: Vec<_> =
        services.calls().iter().map(|call| call.headers.get("authorization").cloned()).collect();
    let bearer = |read| Some(format!("Bearer SECRET-{read}"));
    assert_eq!(sent, [bearer(1), bearer(2), None]);
    assert_eq!(manager.accepted(), 2);
    assert!(!function.raw_log().concat().contains("SECRET"));
}

#[tokio::test]
async fn warnings_about_the_configuration_are_logged_once_at_the_start() {
    let settings = json!({
        "inventory_grpc_addr": "inventory.invalid:1",
        "reservation_api_base": "http://api.invalid",
        "reservation_api_token": "SECRET",
        "typo": "SECRET",
    });
    let manager = Server::replying(http("200 OK", &json!({ "SecretString": settings.to_string() }))).await;
    let mut function = function(&manager, &[("METRICS_SINK", "none")]).await;
    for _ in 0..2 {
        assert!(function.invoke(&json!({ "Records": [] }), LONG).await.unwrap().response.is_ok());
    }
    let log = function.raw_log().concat();
    let warnings: Vec<_> = function.log_lines().into_iter().filter(|line| line["level"] == "WARN").collect();
    let messages: Vec<_> = warnings.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 2, "{log}");
    assert!(messages[0].starts_with("RESERVATION_API_TOKEN is sent in plain text"), "{log}");
    assert!(messages[1].ends_with("has unknown keys, which are ignored: typo."), "{log}");
    assert!(!log.contains("SECRET"), "{log}");
}

/// Outside Lambda the SDK's credentials chain requests keys from the metadata service last. The SDK's own time-out
/// for that request is 1 s.
#[tokio::test]
async fn the_init_fails_when_the_metadata_service_does_not_reply() {
    let (manager, metadata) = (silent().await, silent().await);
    let endpoint = metadata.base();
    let more = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()),
        ("HOME", "/nowhere"),
    ];
    let exit = function(&manager, &more).await.exit(LONG).await.unwrap();
    let error = exit.init_error.unwrap()["errorMessage"].to_string();
    assert!(error.contains("no providers in chain provided credentials"), "{error}");
    assert!(metadata.accepted() > 0);
    assert_eq!(manager.accepted(), 0);
}

#[tokio::test]
async fn the_init_error_names_what_is_missing_to_call_secrets_manager() {
    let manager = silent().await;
    let cases = [
        ("AWS_ACCESS_KEY_ID", "no providers in chain provided credentials"),
        ("AWS_REGION", "invalid value for field: `region` - must be a valid host label"),
    ];
    for (missing, reason) in cases {
        let more = [(missing, ""), ("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nowhere")];
        let Exit { init_error, .. } = function(&manager, &more).await.exit(LONG).await.unwrap();
        let error = format!("secret traffictacos/reservation-worker: cannot be read: {reason}");
        assert_eq!(init_error.unwrap()["errorMessage"], error);
    }
}

#[tokio::test]
async fn the_init_error_gives_the_reason_why_the_secret_cannot_be_read() {
    let denied = json!({ "__type": "AccessDeniedException", "Message": "SECRET" });
    let cases = [
        (Server::replying(http("400 Bad Request", &denied)).await, "cannot be read: AccessDeniedException"),
        (
            Server::replying(http("200 OK", &json!({ "SecretBinary": "U0VDUkVU" }))).await,
            "is binary, not text",
        ),
        (silent().await, "cannot be read: no reply within 5 s"),
    ];
    for (manager, reason) in cases {
        let mut function = function(&manager, &[("SECRET_NAME", "other/name")]).await;
        let Exit { status, init_error } = function.exit(LONG).await.unwrap();
        assert!(!status.success());
        assert_eq!(init_error.unwrap()["errorMessage"], format!("secret other/name: {reason}"));
        assert!(!function.raw_log().concat().contains("SECRET"));
    }
}
