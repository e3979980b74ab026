//! The SQS client is most of a cold start: it is made when the first record is returned, and not before.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::{Hold, Services, cargo};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::desk::{expired, sqs};

const LONG: Duration = Duration::from_secs(60);

/// The configuration file is a pipe: who reads it waits for its writer.
#[tokio::test]
async fn the_environment_is_read_for_a_client_when_the_first_record_is_returned() {
    let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-config");
    _ = std::fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let services = Services::start().await.unwrap();
    let hold = Hold {
        reservation_id: "r1".to_owned(),
        event_id: "evt_1".to_owned(),
        seat_ids: ["r1/A-1", "r1/A-2"].map(str::to_owned).to_vec(),
        ..Hold::default()
    };
    services.create_hold(hold).unwrap();
    let mut variables = services.environment();
    variables.insert("AWS_CONFIG_FILE".to_owned(), pipe.to_str().unwrap().to_owned());
    variables.insert("METRICS_SINK".to_owned(), "none".to_owned());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let release = cargo::build_release(Path::new(env!("CARGO_MANIFEST_DIR")), target).unwrap();
    let mut function = Function::start(&release.join("reservation-worker"), variables).await.unwrap();

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
