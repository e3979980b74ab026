//! What is reported about a batch and its records: the summary line of each record, its metrics and its span.

use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use sqs_batch::visibility::FailureReason;
use sqs_batch::{BatchBegun, BatchFinished, Handler, NotSqs, Observer, Record, RecordFinished};
use tracing::{Instrument, Span, error_span};

use super::metrics::{Metrics, RecordMetrics};
use super::traces::{self, Parent, describe};
use crate::aws;
use crate::job::Job;
use crate::outcome::{Outcome, OutcomeLabel, Summary};

/// Reports batches to the log, to the metrics and to the spans of their invocations.
#[derive(Debug)]
pub struct BatchTelemetry {
    metrics: Metrics,
}

/// The two spans of a record.
#[derive(Debug)]
pub struct RecordScope {
    /// The `tracing` span, which gives the log lines of the record their fields.
    log: Span,
    /// The context with the OpenTelemetry span, which is the parent of the spans of the record's calls.
    trace: Context,
}

impl BatchTelemetry {
    /// Records the metrics of batches in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<H: Handler<Job = Job, Outcome = Outcome>> Observer<H> for BatchTelemetry {
    type Scope = RecordScope;

    fn batch_begun(&self, batch: BatchBegun<'_>) {
        self.metrics.batch_begun(batch.records.len());
        describe::batch(batch.records);
        if batch.time.is_zero() {
            let reserve_ms = batch.reserve.as_millis() as u64;
            tracing::error!(reserve_ms, "the function time-out leaves no time besides DEADLINE_RESERVE_MS");
        }
    }

    fn record_begun(&self, record: &Record, job: Option<&Job>) -> RecordScope {
        let (event_type, hold) = (job.and_then(Job::event_type), job.and_then(Job::hold));
        // The span has the level error, so that no filter removes it and every line has the fields of its record.
        let log = error_span!(
            "record",
            message_id = record.message_id,
            attempt = record.receive_count,
            event_type = event_type.map_or("unknown", |event_type| event_type.as_str()),
            reservation_id = hold.map(|hold| hold.reservation_id.as_str()),
            event_id = hold.and_then(|hold| hold.event_id.as_ref()).map(|id| id.as_str()),
            message_group_id = record.fifo_group.as_deref().filter(|group| !group.is_empty()),
        );
        let producer = Parent::producer(record, job.and_then(Job::trace_id));
        Context::map_current(|invocation| RecordScope {
            log,
            trace: traces::record(record, job, producer.as_ref(), invocation),
        })
    }

    fn in_scope<W: Future>(&self, scope: &RecordScope, work: W) -> impl Future<Output = W::Output> {
        work.instrument(scope.log.clone()).with_context(scope.trace.clone())
    }

    fn record_finished(&self, finished: RecordFinished<'_, H>, scope: Option<&RecordScope>) {
        let summary = Summary::of(finished.completion);
        self.record_metrics(&finished, summary);
        match scope {
            Some(RecordScope { log, trace }) => {
                let _attached = trace.clone().attach();
                log.in_scope(|| write_summary_line(&finished, summary));
                describe::end_record(trace, summary);
            }
            None => error_span!("record", message_id = finished.record.message_id)
                .in_scope(|| write_summary_line(&finished, summary)),
        }
    }

    fn batch_finished(&self, batch: BatchFinished<'_>) {
        self.metrics.peak_in_progress(batch.peak_in_progress);
        let failed: usize = batch.visibility_failures.iter().map(|failure| failure.messages).sum();
        if let Some(first) = batch.visibility_failures.first() {
            let reason = match &first.reason {
                FailureReason::Call(error) => aws::reason(error),
                other => other.to_string(),
            };
            self.metrics.visibility_errors(failed);
            tracing::warn!(failed, reason, "visibility time-outs not changed");
        }
        describe::end_batch(None);
    }

    fn event_rejected(&self, error: &NotSqs) {
        describe::end_batch(Some((NotSqs::ERROR_TYPE, error)));
    }
}

impl BatchTelemetry {
    fn record_metrics<H: Handler<Job = Job, Outcome = Outcome>>(
        &self,
        finished: &RecordFinished<'_, H>,
        summary: Summary<'_>,
    ) {
        let (record, now) = (finished.record, SystemTime::now());
        let since = |time| now.duration_since(time).unwrap_or_default();
        self.metrics.record_finished(RecordMetrics {
            event_type: finished.job.and_then(Job::event_type),
            outcome: summary.label,
            duration: finished.duration,
            age: record.sent.map(since),
            lateness: finished.job.and_then(Job::time).map(since),
            reason: summary.code,
            // If the queue delivers a message more often than `max_receives`, the message was already counted.
            is_dead_letter: summary.code.is_some() && record.receive_count == finished.max_receives,
        });
    }
}

/// Writes the summary line of a record. Each record has exactly one.
fn write_summary_line<H: Handler>(finished: &RecordFinished<'_, H>, summary: Summary<'_>) {
    let Summary { label, reason, code } = summary;
    let outcome = label.as_str();
    let duration_ms = finished.duration.unwrap_or_default().as_micros() as f64 / 1_000.0;
    let Some(code) = code else {
        tracing::info!(outcome, reason, duration_ms, "record acknowledged");
        return;
    };
    let reason_code = code.as_str();
    let needs_a_person = matches!(label, OutcomeLabel::Failed | OutcomeLabel::InvalidPayload);
    if finished.record.is_last_receive(finished.max_receives) {
        let advice = code.advice();
        tracing::error!(outcome, reason, reason_code, advice, duration_ms, "record is a dead letter");
    } else if needs_a_person {
        tracing::error!(
            outcome,
            reason,
            reason_code,
            advice = code.advice(),
            duration_ms,
            "record returned for the dead-letter queue"
        );
    } else {
        tracing::warn!(outcome, reason, reason_code, duration_ms, "record returned");
    }
}
