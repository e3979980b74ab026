//! The SQS client takes most of the time of a cold start. The function therefore creates it when it returns its
//! first record, and not before.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use reservation_worker_local::Services;
use reservation_worker_local::visibility::VisibilityBehaviour;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::function::{LONG, hold, start};
use crate::sqs_event::{expired, sqs};

/// The AWS configuration file is a named pipe: its reader waits for a writer.
#[tokio::test]
async fn the_aws_configuration_is_read_when_the_first_record_is_returned() {
    let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-config");
    _ = std::fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let services = Services::start().await.unwrap();
    hold(&services, "r1");
    let variables = [("AWS_CONFIG_FILE", pipe.to_str().unwrap()), ("METRICS_SINK", "none")];
    let mut function = start(&services, &variables).await;

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
async fn a_failed_call_to_sqs_is_retried_and_logged_in_one_line() {
    let services = Services::start().await.unwrap();
    services.visibility().set_behaviour(VisibilityBehaviour::CallFails(500, "InternalFailure"));
    let mut function = start(&services, &[]).await;
    function.invoke(&sqs([("m1", json!("poison"))]), LONG).await.unwrap();
    assert_eq!(services.visibility().take().len(), 3, "the SDK makes three attempts");
    let about_the_queue = |line: &Value| line["message_id"].is_null();
    let logged: Vec<_> = function.log_lines().into_iter().filter(about_the_queue).collect();
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert_eq!(logged[0]["reason"], "InternalFailure");
}
