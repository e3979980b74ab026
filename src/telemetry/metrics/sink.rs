//! Where metrics go, and when.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::cloudwatch::CloudWatch;
use super::pace::{ClockReading, Pace};
use super::{Metrics, emf};
use crate::config::{Config, MetricsSink};
use crate::telemetry::logs;
use crate::telemetry::unsent::{LONGEST, LONGEST_FIRST, LONGEST_LAST};

/// Sends what was recorded.
#[derive(Debug)]
pub struct Sink {
    metrics: Metrics,
    target: Target,
    pace: tokio::sync::Mutex<Pace>,
}

#[derive(Debug)]
enum Target {
    CloudWatch(CloudWatch),
    Emf(Emf),
    Nowhere,
}

struct Emf {
    namespace: String,
    level: &'static str,
    log: Mutex<Box<dyn Write + Send>>,
}

impl Sink {
    /// The CloudWatch client is made when it is first needed, unless one is given; `log` is where EMF lines go.
    pub fn new(
        config: &Config,
        metrics: Metrics,
        client: OnceCell<Client>,
        log: impl Write + Send + 'static,
    ) -> Self {
        let namespace = config.metrics_namespace.clone();
        let target = match config.metrics_sink {
            MetricsSink::CloudWatch => Target::CloudWatch(CloudWatch::new(namespace, client)),
            MetricsSink::Emf => {
                Target::Emf(Emf { namespace, level: config.unfiltered_level, log: Mutex::new(Box::new(log)) })
            }
            MetricsSink::None => Target::Nowhere,
        };
        Self { metrics, target, pace: tokio::sync::Mutex::default() }
    }

    /// Whether anything may be left to send when the process is to end.
    pub fn needs_shutdown_flush(&self) -> bool {
        matches!(self.target, Target::CloudWatch(_))
    }

    /// To be called when the response of an invocation is out: sends what is due. Takes 500 ms at most, 2 s
    /// until a first try has succeeded and after a first failure, and never more than is `left` of the
    /// invocation's time.
    pub async fn after_response(&self, request_id: &str, left: Duration, now: ClockReading) {
        match &self.target {
            Target::CloudWatch(cloudwatch) => {
                let mut pace = self.pace.lock().await;
                if pace.is_due(now, self.metrics.is_urgent()) {
                    let longest = if pace.is_patient() { LONGEST_FIRST } else { LONGEST };
                    let time = longest.min(left);
                    self.send(cloudwatch, &mut pace, now, time).await;
                }
            }
            Target::Emf(emf) => emf.write(&self.metrics, request_id),
            Target::Nowhere => {}
        }
    }

    /// To be called when the process is told to end: sends what is left, in 400 ms at most.
    pub async fn shutdown(&self) {
        if let Target::CloudWatch(cloudwatch) = &self.target {
            let last = async {
                let mut pace = self.pace.lock().await;
                // The connection may have gone while the environment was frozen.
                let mut is_sent = false;
                for _ in 0..2 {
                    is_sent =
                        is_sent || self.send(cloudwatch, &mut pace, ClockReading::now(), LONGEST_LAST).await;
                }
            };
            // Until a call that is under way has ended there is nothing to send.
            let _ = timeout(LONGEST_LAST, last).await;
        }
    }

    /// Whether all is sent. What is not taken within the time is kept: it may be counted twice, but is not lost.
    async fn send(
        &self,
        cloudwatch: &CloudWatch,
        pace: &mut Pace,
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
        let sending = async {
            while let Some(period) = unsent.front_mut() {
                cloudwatch.put(period).await?;
                unsent.pop_front();
            }
            Ok(())
        };
        let sent = match timeout(time, sending).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
        {
            Ok(()) => {
                pace.succeeded(now);
                true
            }
            Err(reason) => {
                if pace.failed(now) {
                    tracing::warn!(reason, "metrics not sent: they are kept");
                }
                false
            }
        };
        self.metrics.put_back(unsent);
        sent
    }
}

impl Emf {
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
            // As with any line of the log: if it cannot be written there is nowhere to say so.
            let _ = log.write_all(line.as_bytes());
        }
    }
}

impl std::fmt::Debug for Emf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emf").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
