//! Sends metrics to the sink that is configured, and decides when.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use serde_json::json;
use sqs_batch::ClockReading;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::cloudwatch::CloudWatch;
use super::emf;
use super::send_schedule::SendSchedule;
use super::time_limits;
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;

/// How metrics are sent.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Where they go.
    pub sink: MetricsSink,
    /// Their CloudWatch namespace.
    pub namespace: String,
    /// The level of EMF lines: one that Lambda's own log filter lets through.
    pub emf_level: &'static str,
}

/// Where metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsSink {
    /// To CloudWatch by `PutMetricData`.
    CloudWatch,
    /// To the log as lines in the embedded metric format (EMF).
    Emf,
    /// Nowhere.
    None,
}

/// Sends the recorded metrics.
#[derive(Debug)]
pub struct MetricsExporter {
    metrics: Metrics,
    writer: SinkWriter,
    schedule: tokio::sync::Mutex<SendSchedule>,
}

/// What sends metrics to the sink.
#[derive(Debug)]
enum SinkWriter {
    CloudWatch(CloudWatch),
    Emf(EmfLog),
    None,
}

/// A log to which metrics are written as EMF lines.
struct EmfLog {
    namespace: String,
    level: &'static str,
    log: Mutex<Box<dyn Write + Send>>,
}

impl MetricsSettings {
    /// The recorder for these settings. It records nothing if metrics are not sent.
    pub fn metrics(&self) -> Metrics {
        match self.sink {
            MetricsSink::CloudWatch | MetricsSink::Emf => Metrics::recording(),
            MetricsSink::None => Metrics::default(),
        }
    }
}

impl MetricsExporter {
    /// Sends what is recorded in `metrics`. The CloudWatch client is made when it is first needed, unless `client`
    /// contains one. EMF lines are written to `log`.
    pub fn new(
        settings: MetricsSettings,
        metrics: Metrics,
        client: OnceCell<Client>,
        log: impl Write + Send + 'static,
    ) -> Self {
        let MetricsSettings { sink, namespace, emf_level } = settings;
        let writer = match sink {
            MetricsSink::CloudWatch => SinkWriter::CloudWatch(CloudWatch::new(namespace, client)),
            MetricsSink::Emf => {
                SinkWriter::Emf(EmfLog { namespace, level: emf_level, log: Mutex::new(Box::new(log)) })
            }
            MetricsSink::None => SinkWriter::None,
        };
        Self { metrics, writer, schedule: tokio::sync::Mutex::default() }
    }

    /// Whether anything may be left to send when the process ends.
    pub fn needs_shutdown_flush(&self) -> bool {
        matches!(self.writer, SinkWriter::CloudWatch(_))
    }

    /// Sends what is due after the response of an invocation. It takes at most 500 ms (2 s until the first success
    /// and after the first failure in a row), and never more than `time_left` of the invocation's time.
    pub async fn after_response(&self, request_id: &str, time_left: Duration, now: ClockReading) {
        match &self.writer {
            SinkWriter::CloudWatch(cloudwatch) => {
                let mut schedule = self.schedule.lock().await;
                if schedule.is_due(now, self.metrics.is_urgent()) {
                    let limit =
                        if schedule.uses_long_limit() { time_limits::LONG } else { time_limits::USUAL };
                    self.send(cloudwatch, &mut schedule, now, limit.min(time_left)).await;
                }
            }
            SinkWriter::Emf(emf) => emf.write(&self.metrics, request_id),
            SinkWriter::None => {}
        }
    }

    /// Sends the rest when the process has received SIGTERM. It takes at most 400 ms.
    pub async fn shutdown(&self) {
        if let SinkWriter::CloudWatch(cloudwatch) = &self.writer {
            let send_rest = async {
                let mut schedule = self.schedule.lock().await;
                // The connection may have died while the environment was frozen, so a failure is retried once.
                let mut is_sent = false;
                for _ in 0..2 {
                    is_sent = is_sent
                        || self.send(cloudwatch, &mut schedule, ClockReading::now(), time_limits::LAST).await;
                }
            };
            // A call that is still in progress holds the lock and the data, and nothing can be sent before it ends.
            let _ = timeout(time_limits::LAST, send_rest).await;
        }
    }

    /// Sends everything that was recorded. Returns whether CloudWatch has accepted all of it, or refused it for good,
    /// within `time`. The rest is stored again: it may be counted twice but is not lost.
    async fn send(
        &self,
        cloudwatch: &CloudWatch,
        schedule: &mut SendSchedule,
        now: ClockReading,
        time: Duration,
    ) -> bool {
        if time.is_zero() {
            return false;
        }
        let mut unsent = self.metrics.take();
        if unsent.is_empty() {
            return true;
        }
        let send = async {
            while let Some(period) = unsent.front_mut() {
                cloudwatch.put(period).await?;
                unsent.pop_front();
            }
            Ok(())
        };
        let sent = match timeout(time, send).await.unwrap_or_else(|_| Err("no reply in time".to_owned())) {
            Ok(()) => {
                schedule.succeeded(now);
                true
            }
            Err(reason) => {
                if schedule.failed(now) {
                    tracing::warn!(reason, "metrics not sent: they will be sent later");
                }
                false
            }
        };
        self.metrics.put_back(unsent);
        sent
    }
}

impl EmfLog {
    fn write(&self, metrics: &Metrics, request_id: &str) {
        let head = json!({
            "timestamp": logs::timestamp(),
            "level": self.level,
            "message": "metrics",
            "request_id": request_id,
        });
        let Some(head) = head.as_object() else { return };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for line in metrics.take().iter().flat_map(|period| emf::lines(period, &self.namespace, head)) {
            // If the log cannot be written, the failure cannot be reported either.
            let _ = log.write_all(line.as_bytes());
        }
    }
}

impl std::fmt::Debug for EmfLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmfLog").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
