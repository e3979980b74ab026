//! The two services over real connections: HTTP/1.1, gRPC, TLS.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of a test for something else")]

mod client;
mod desk;
mod faults;
mod inventory;
mod net;
mod reservation_api;
