//! A Lambda Runtime API with one function process. It does what Lambda does with a function, without an
//! emulator.
//!
//! [`Function`] starts the `process` and the `endpoints` that the process calls. Each request to an endpoint
//! becomes a message to [`Function`], which handles the messages one after the other.

mod endpoints;
mod error;
mod function;
mod process;

pub use error::InvokeError;
pub use function::{Function, InvocationResult};
pub use process::Exit;
