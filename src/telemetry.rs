//! What the function reports about a batch, a record and a call: logs, metrics and spans, connected by ids.
//!
//! [`export`] sends metrics and spans out of the process.

pub mod batch;
pub mod call;
pub mod invocation;
pub mod logs;
pub mod metrics;
pub mod traces;

pub mod export;
