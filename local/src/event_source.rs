//! An event source mapping: the part of AWS that reads a queue and invokes a function with batches of
//! messages. The queue can be in any service that implements the SQS protocol.
//!
//! A message passes through these modules, in this order:
//!
//! 1. `queues` sends it to a [`Queue`]. `sqs` creates the queue at an SQS endpoint, and `moto` can start a local
//!    endpoint. `client` is the client for the endpoint.
//! 2. `pollers` receives it.
//! 3. `event` converts it to a record of an event.
//! 4. `processes` invokes the function with the event.
//! 5. `response` decides from the response whether the message is deleted.
//!
//! `mapping` starts all of this. `state` counts it.

mod client;
mod event;
mod mapping;
mod moto;
mod outgoing_message;
mod pollers;
mod processes;
mod queues;
mod response;
mod sqs;
mod state;

pub use mapping::{Mapping, RunningMapping};
pub use outgoing_message::OutgoingMessage;
pub use queues::{MAX_BATCH_ENTRIES, Queue};
pub use response::{BatchResult, batch_result};
pub use sqs::Sqs;
pub use state::{LogLine, RunningProcess, Stats};
