//! Everything that is needed to run the function on a workstation: the two services that it calls, a Lambda
//! Runtime API, an event source mapping, and receivers for its metrics, traces and visibility time-outs.
//!
//! A call from the function to a service passes through these modules, in this order:
//!
//! 1. `server` accepts the connection.
//! 2. `reservation_api` (REST) or `inventory` (gRPC) decodes the request and encodes the reply.
//! 3. `calls` adds the call to the call log.
//! 4. `capacity` computes when the reply is sent, if the capacity of the service is limited.
//! 5. `faults` selects a fault for the call, if one was requested. The fault delays, replaces or suppresses
//!    the reply.
//! 6. `reservations` or `seats` performs the operation. `idempotency` returns the earlier reply to a repeated
//!    request.
//!
//! `state` contains the data that these modules share. [`Services`] starts both services and gives tests
//! access to the state. `control` gives people access to it over HTTP.
//!
//! An event travels from the queue to the function through these modules:
//!
//! 1. [`event_source`] receives messages from an SQS queue and groups them into batches.
//! 2. [`runtime_api`] invokes a function process with each batch, as Lambda does.
//!
//! The other modules:
//!
//! - [`visibility`] receives the function's visibility time-outs, [`cloudwatch`] its metrics, and
//!   [`trace_receivers`] its spans. Each is a server that records what it receives.
//! - [`expectations`] reads the sample events in `events/` and compares the results with the expected ones.
//! - [`cargo`] builds the function. [`output`] stores what a process prints.
//! - `hold` defines the reservation that a test or a person creates before an event. `lock` locks shared data.
//!   [`proto`] contains the messages of the inventory service.

#![forbid(unsafe_code)]

pub mod cargo;
pub mod cloudwatch;
pub mod event_source;
pub mod expectations;
pub mod output;
pub mod proto;
pub mod runtime_api;
pub mod trace_receivers;
pub mod visibility;

mod calls;
mod capacity;
mod control;
mod faults;
mod hold;
mod idempotency;
mod inventory;
mod lock;
mod reservation_api;
mod reservations;
mod seats;
mod server;
mod services;
mod state;

pub use calls::{Call, Operation, Service};
pub use capacity::Capacity;
pub use faults::{Catalogue, Effect, EffectEntry, Fault, OperationEntry};
pub use hold::{Hold, HoldRefused};
pub use reservations::{Reservation, Status};
pub use seats::{QuantityHold, SeatMap, SeatState, SeatWithOwner};
pub use services::Services;
