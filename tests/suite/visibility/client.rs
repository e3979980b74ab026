//! The SQS client is most of a cold start: it is made when the first record is returned, and not before.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reservation_worker_local::Services;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::desk::{expired, sqs};
use crate::release;

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
    assert_eq!(services.queue().take(), []);

    let writer = spawn_blocking(|| File::options().write(true).open(pipe).map(drop).unwrap());
    let poison = function.invoke(&sqs([("m2", json!("poison"))]), LONG).await.unwrap();
    writer.await.unwrap();

    let returned = json!({ "batchItemFailures": [{ "itemIdentifier": "m2" }] });
    assert_eq!(poison.response.unwrap(), returned);
    assert_eq!(services.queue().take().len(), 1);
}
