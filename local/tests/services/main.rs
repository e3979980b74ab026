//! Tests of the two services over real connections: HTTP/1.1, gRPC and TLS.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, but not in their helper functions"
)]

mod capacity;
mod client;
mod control;
mod faults;
mod inventory;
mod reservation_api;
mod server;
