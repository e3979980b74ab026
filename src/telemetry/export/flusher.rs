//! Sends the metrics and spans that are buffered while an invocation is processed.

use futures_util::future::join;
use sqs_batch::ClockReading;

use super::after_response::PostedResponse;
use super::metrics::MetricsExporter;
use super::spans::SpanSender;
use super::time_limits;

/// Sends buffered metrics and spans.
#[derive(Debug)]
pub struct TelemetryFlusher {
    /// The metrics.
    pub metrics: MetricsExporter,
    /// The spans.
    pub spans: SpanSender,
}

impl TelemetryFlusher {
    /// Sends what is due after the response of an invocation, metrics and spans concurrently. It takes as long as
    /// [`MetricsExporter::after_response`] or [`SpanSender::after_response`], whichever is longer.
    pub async fn after_response(&self, response: PostedResponse) {
        let PostedResponse { request_id, time_left } = response;
        let now = ClockReading::now();
        let metrics = self.metrics.after_response(&request_id, time_left, now);
        join(metrics, self.spans.after_response(time_left, now)).await;
    }

    /// Whether anything may be left to send when the process ends. This depends on the metrics only, because spans
    /// are sent after each response.
    pub fn needs_shutdown_flush(&self) -> bool {
        self.metrics.needs_shutdown_flush()
    }

    /// Sends the rest when the process has received SIGTERM. It takes at most 400 ms.
    pub async fn shutdown(&self) {
        join(self.metrics.shutdown(), self.spans.flush(time_limits::LAST, ClockReading::now())).await;
    }
}
