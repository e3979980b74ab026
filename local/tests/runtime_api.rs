//! Tests of the Runtime API with a program that is not a function. The tests of the worker cover the other
//! cases.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use reservation_worker_local::runtime_api::{Function, InvokeError};

#[tokio::test]
async fn a_process_that_ends_returns_an_error_to_ready_and_invoke() {
    let mut function = Function::start(program(), []).await.unwrap();

    assert!(matches!(function.ready().await, Err(InvokeError::Exited(_))));
    let result = function.invoke(&serde_json::json!({}), Duration::from_secs(1)).await;
    assert!(matches!(result, Err(InvokeError::Exited(_))));

    let exit = function.exit(Duration::from_secs(1)).await.unwrap();
    assert_eq!(exit.status.code(), Some(1));
    assert_eq!(exit.init_error, None);
    assert!(function.raw_log()[0].contains("no such command"));
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    assert!(Function::start(Path::new("/no/such/program"), []).await.is_err());
}

/// The command line of this crate. Without arguments it prints its usage and exits with status 1.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_reservation-worker-local"))
}
