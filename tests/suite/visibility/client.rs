//! The SQS client is most of a cold start: it is made when the first record is returned, and not before.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reservation_worker_local::Services;
use reservation_worker_local::visibility::VisibilityBehaviour;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::release;
use crate::test_app::{expired, sqs};

const LONG: Duration = Duration::from_secs(60);

/// The configuration file is a pipe: who reads it waits for its writer.
#[tokio::test]
async fn the_environment_is_read_for_a_client_when_the_first_record_is_returned() {
    let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-config");
    _ = std::fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let services = Services::start().await.unwrap();
    release::hold(&services, "r1");
    let variables = [("AWS_CONFIG_FILE", pipe.to_str().unwrap()), ("METRICS_SINK", "none")];
    let mut function = release::function(&release::built("reservation-worker"), &services, &variables).await;

    let clean = function.invoke(&sqs([("m1", expired("r1"))]), LONG).await.unwrap();
    assert_eq!(clean.response.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(services.visibility().take(), []);

    let writer = spawn_blocking(|| File::options().write(true).open(pipe).map(drop).unwrap());
    let poison = function.invoke(&sqs([("m2", json!("poison"))]), LONG).await.unwrap();
    writer.await.unwrap();

    let returned = json!({ "batchItemFailures": [{ "itemIdentifier": "m2" }] });
    assert_eq!(poison.response.unwrap(), returned);
    assert_eq!(services.visibility().take().len(), 1);
}

#[tokio::test]
async fn a_queue_that_fails_is_told_in_one_line_and_asked_again() {
    let services = Services::start().await.unwrap();
    services.visibility().set_behaviour(VisibilityBehaviour::CallFails(500, "InternalFailure"));
    let mut function = release::function(&release::built("reservation-worker"), &services, &[]).await;
    function.invoke(&sqs([("m1", json!("poison"))]), LONG).await.unwrap();
    assert_eq!(services.visibility().take().len(), 3, "the SDK tries three times");
    let about_the_queue = |line: &Value| line["message_id"].is_null();
    let told: Vec<_> = function.log_lines().into_iter().filter(about_the_queue).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["reason"], "InternalFailure");
}
