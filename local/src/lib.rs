//! Everything the function needs to run on a desk: the two services it talks to, as real servers on
//! loopback that keep the contract, what it is told, and by whom.
//!
//! What a call to a service meets, in this order: `net` accepts its connection, `reservation_api` or
//! `inventory` reads it, `calls` records it, `faults` may strike it, `reservations` or `seats` decide it.
//! [`Services`] holds that together, `desk` shows it to a person. [`runtime_api`] runs a function process
//! as Lambda does, [`event_source`] feeds it from a queue, and [`expectations`] says what is to come of the
//! events in `events/`. [`cargo`] builds the function.

mod calls;
pub mod cargo;
pub mod cloudwatch;
mod desk;
pub mod event_source;
pub mod expectations;
mod faults;
mod idempotency;
mod inventory;
mod net;
pub mod output;
mod reservation_api;
mod reservations;
pub mod runtime_api;
mod seats;
mod services;
pub mod trace_receivers;
pub mod visibility;

pub use calls::{Call, Operation, Service};
pub use faults::{Effect, Fault};
pub use reservations::{Reservation, Status};
pub use seats::SeatState;
pub use services::{Hold, HoldRefused, Services};

/// The contract with the inventory service, as compiled from `proto/`.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod proto {
    pub mod common {
        pub mod v1 {
            tonic::include_proto!("common.v1");
        }
    }
    pub mod reservation {
        pub mod v1 {
            tonic::include_proto!("reservation.v1");
        }
    }
}
