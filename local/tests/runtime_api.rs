//! The Runtime API with a program that is no function; the tests of the function show the rest.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use reservation_worker_local::runtime_api::{Function, InvokeError};

#[tokio::test]
async fn a_process_that_ends_is_neither_ready_nor_invoked() {
    let mut function = Function::start(program(), []).await.unwrap();

    assert!(matches!(function.ready().await, Err(InvokeError::Exited(_))));
    let invoked = function.invoke(&serde_json::json!({}), Duration::from_secs(1)).await;
    assert!(matches!(invoked, Err(InvokeError::Exited(_))));

    let exit = function.exit(Duration::from_secs(1)).await.unwrap();
    assert_eq!(exit.status.code(), Some(1));
    assert_eq!(exit.init_error, None);
    assert!(function.raw_log()[0].contains("usage"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    assert!(Function::start(Path::new("/no/such/program"), []).await.is_err());
}

/// The desk's own command, which ends with status 1 when it is not told what to do.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_reservation-worker-local"))
}
