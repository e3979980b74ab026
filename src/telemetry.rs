//! What the function tells: logs, metrics and traces, joined by ids.

pub mod after_response;
pub mod call;
pub mod init_error;
pub mod invocation;
pub mod logs;
pub mod metrics;
pub mod shutdown;
pub mod traces;
mod unsent;

pub use unsent::TelemetryFlusher;
