//! The function as a process of its own, under a Runtime API that the tests provide, without an emulator.
//!
//! The tests build the function with the profile `process`. The variable `FUNCTION_BINARIES` names a folder of
//! binaries to test instead; `make artifact` passes the binaries that are deployed.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/forgetful_proxy.rs"]
mod forgetful_proxy;
mod function;
#[path = "../shared/sent.rs"]
mod sent;
#[path = "../shared/spans.rs"]
mod spans;
#[path = "../shared/sqs_event.rs"]
mod sqs_event;
#[path = "../shared/wire.rs"]
mod wire;

mod invocations;
mod metrics;
mod proxy;
mod refused_invocations;
mod secrets_manager;
mod silence;
mod sqs_client;
mod traces;
