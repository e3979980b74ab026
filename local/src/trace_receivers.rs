//! Receivers for spans: an OpenTelemetry collector and an X-Ray daemon. Both record what they receive.

mod collector;
mod daemon;

pub use collector::{Collector, Span};
pub use daemon::{Daemon, segments};
