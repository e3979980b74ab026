//! What is kept in memory while an invocation is worked on, and sent when its response is out.

use std::time::Duration;

use futures_util::future::join;

use super::after_response::Answered;
use super::metrics::{ClockReading, Sink};
use super::traces::Traces;

/// Sending may take so long, and with it the environment's next invocation may wait.
pub(super) const LONGEST: Duration = Duration::from_millis(500);
/// The same where a client and its connection are to be made, which a small function needs longer for; cut
/// off each time they would never be.
pub(super) const LONGEST_FIRST: Duration = Duration::from_secs(2);
/// Lambda gives 500 ms from SIGTERM on.
pub(super) const LONGEST_LAST: Duration = Duration::from_millis(400);

/// Metrics and spans that wait to be sent.
#[derive(Debug)]
pub struct TelemetryFlusher {
    /// The metrics.
    pub metrics: Sink,
    /// The spans.
    pub traces: Traces,
}

impl TelemetryFlusher {
    /// To be called when the response of an invocation is out: sends what is due, both at once. Takes as long
    /// as [`Sink::after_response`] or [`Traces::after_response`], the longer.
    pub async fn after_response(&self, answered: Answered) {
        let Answered { request_id, left } = answered;
        let now = ClockReading::now();
        join(self.metrics.after_response(&request_id, left, now), self.traces.after_response(left, now))
            .await;
    }

    /// Whether anything may be left to send when the process is to end; spans go after each response.
    pub fn needs_shutdown_flush(&self) -> bool {
        self.metrics.needs_shutdown_flush()
    }

    /// To be called when the process is told to end: sends what is left, in 400 ms at most.
    pub async fn shutdown(&self) {
        join(self.metrics.shutdown(), self.traces.flush(LONGEST_LAST, ClockReading::now())).await;
    }
}
