//! Sends telemetry: after the response of each invocation, and when the process ends.

pub mod after_response;
mod cloudwatch;
mod emf;
pub mod flusher;
pub mod init_error;
pub mod metrics;
mod otlp;
mod send_schedule;
pub mod shutdown;
pub mod spans;
mod time_limits;
mod xray;
