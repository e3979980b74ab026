//! The function in the process of the test, with real services on loopback. A test passes a batch and gets the
//! response and the log lines.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::aws;
use reservation_worker::config::Config;
use reservation_worker::job::Job;
use reservation_worker::outcome::Outcome;
use reservation_worker::services::retry::Retry;
use reservation_worker::telemetry::batch::BatchTelemetry;
use reservation_worker::telemetry::export::metrics::MetricsExporter;
use reservation_worker::telemetry::export::spans::SpanSender;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::telemetry::traces::Traces;
use reservation_worker::worker::{self, Worker};
use reservation_worker_local::{Hold, Services};
use rustls::RootCertStore;
use serde_json::{Value, json};
use sqs_batch::visibility::Visibility;
use sqs_batch::{BatchProcessor, ClockReading, Handler, NotSqs};
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber;

use crate::shifted_clock;
use crate::sqs_event::event;
pub use crate::sqs_event::{approved, expired, record, sqs};
use crate::stopped_clock::StoppedClock;

/// The services and the function in one process.
pub struct TestApp {
    pub services: Services,
    processor: BatchProcessor<Worker, BatchTelemetry>,
    invocations: Invocations,
    metrics: Metrics,
    exporter: MetricsExporter,
    emf: Log,
    spans: SpanSender,
    level: tracing::Level,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Sets these variables in addition to the addresses of the services.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let services = Services::start().await.unwrap();
        Self::of(services, variables, RootCertStore::empty())
    }

    pub fn of(services: Services, variables: &[(&str, &str)], roots: RootCertStore) -> Self {
        let config = config(&services, variables);
        Self::of_config(services, config, roots)
    }

    pub fn of_config(services: Services, mut config: Config, roots: RootCertStore) -> Self {
        // Most tests are not about the retry budget, and a batch of theirs may need more than it.
        let retry = Retry::with_minimum(1_000);
        (config.reservation_api.retry, config.inventory.retry) = (retry.clone(), retry);
        let (metrics, emf) = (config.metrics.metrics(), Log::default());
        let service_roots = config.service_roots(roots.clone());
        let worker =
            Worker::new(&config.reservation_api, &config.inventory, service_roots, metrics.clone()).unwrap();
        let worker = worker.with_clock(shifted_clock::now);
        let processor = processor(&config, worker, metrics.clone(), services.visibility().endpoint());
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&aws(services.cloudwatch().endpoint()));
        let cloudwatch = OnceCell::new_with(Some(cloudwatch));
        let exporter = MetricsExporter::new(config.metrics, metrics.clone(), cloudwatch, emf.clone());
        let traces = config.spans.as_ref().map_or_else(Traces::default, |_| Traces::recording());
        let invocations = Invocations::new(metrics.clone(), traces.clone());
        let spans = SpanSender::new(config.spans, traces, roots);
        Self { services, processor, invocations, metrics, exporter, emf, spans, level: config.log_level }
    }

    /// Creates a hold of `user_1` for the ticketed event `evt_1`. Its two seats are `<reservation_id>/A-1` and
    /// `<reservation_id>/A-2`.
    pub fn hold(&self, reservation_id: &str) {
        let seat_ids = ["A-1", "A-2"].map(|seat| format!("{reservation_id}/{seat}")).to_vec();
        let user_id = Some("user_1".to_owned());
        let (reservation_id, event_id) = (reservation_id.to_owned(), "evt_1".to_owned());
        self.services
            .create_hold(Hold { reservation_id, event_id, user_id, seat_ids, quantity: None })
            .unwrap();
    }

    /// Creates the same hold, unless the reservation exists.
    pub fn hold_if_new(&self, reservation_id: &str) {
        if self.services.reservation(reservation_id).is_none() {
            self.hold(reservation_id);
        }
    }

    /// Connects to the inventory, as `main` does while the runtime waits for its first event.
    pub async fn connect(&self) {
        self.processor.handler().connect().await;
    }

    /// Runs a batch with the longest time-out that Lambda allows.
    pub async fn run(&self, event: Value) -> BatchRun {
        self.run_within(event, Duration::from_secs(900)).await
    }

    /// Runs a batch whose deadline is `time` from now.
    pub async fn run_within(&self, event: Value, time: Duration) -> BatchRun {
        let deadline = SystemTime::now() + time;
        self.run_in(event, context(deadline.duration_since(UNIX_EPOCH).unwrap())).await.unwrap()
    }

    /// Sends the spans, as `main` does after a response, and returns what is logged meanwhile.
    pub async fn flush(&self, within: Duration) -> String {
        self.flush_at(ClockReading::now(), within).await
    }

    /// [`Self::flush`] at the given time.
    pub async fn flush_at(&self, now: ClockReading, within: Duration) -> String {
        let log = Log::default();
        self.spans.flush(within, now).with_subscriber(logs::subscriber(self.level, log.clone())).await;
        log.text()
    }

    /// Does the work of the metrics exporter after a response, at the given time, and returns what is logged meanwhile.
    /// The clock stands still, so that the time limit of the work cannot expire on a slow machine.
    pub async fn after_response(&self, now: ClockReading) -> String {
        let _clock = StoppedClock::new();
        let log = Log::default();
        let work = self.exporter.after_response("request-1", Duration::MAX, now);
        work.with_subscriber(logs::subscriber(self.level, log.clone())).await;
        log.text()
    }

    /// Sends the remaining metrics, as the function does on shutdown. The clock stands still meanwhile.
    pub async fn shutdown(&self) {
        let _clock = StoppedClock::new();
        self.exporter.shutdown().await;
    }

    /// Recalls the records that wait for a service that has recovered, as `main` does after a response.
    pub async fn recall(&self) {
        worker::recall(&self.processor, Duration::MAX).await;
    }

    /// The recorder of the function's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The EMF lines written so far.
    pub fn emf(&self) -> &Log {
        &self.emf
    }

    /// Runs a batch with another handler.
    pub async fn run_on(
        &self,
        processor: &BatchProcessor<impl WorkerHandler, BatchTelemetry>,
        event: Value,
    ) -> BatchRun {
        run_of(&self.invocations, processor, self.level, event, context(Duration::ZERO)).await.unwrap()
    }

    /// Runs a batch in the given context.
    pub async fn run_in(&self, event: Value, context: Context) -> Result<BatchRun, NotSqs> {
        run_of(&self.invocations, &self.processor, self.level, event, context).await
    }
}

pub fn sqs_client(endpoint: &str) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&aws(endpoint))
}

/// An AWS configuration in which every service has this endpoint.
fn aws(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-northeast-2"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws::http().unwrap())
        .endpoint_url(endpoint)
        .build()
}

/// A handler of events, such as the worker itself.
pub trait WorkerHandler: Handler<Job = Job, Outcome = Outcome> {}

impl<H: Handler<Job = Job, Outcome = Outcome>> WorkerHandler for H {}

/// Processes batches with `handler` as the function does, with the queue at `sqs_endpoint`.
pub fn processor<H: WorkerHandler>(
    config: &Config,
    handler: H,
    metrics: Metrics,
    sqs_endpoint: &str,
) -> BatchProcessor<H, BatchTelemetry> {
    let client = sqs_client(sqs_endpoint);
    let visibility = Visibility::new(config.backoff.clone(), move |_| std::future::ready(client.clone()))
        .with_queue_url(config.sqs_queue_url.as_ref().map(ToString::to_string));
    BatchProcessor::new(handler, config.batch)
        .with_observer(BatchTelemetry::new(metrics))
        .with_visibility(visibility)
}

/// Runs a batch with any handler and without services.
pub async fn run(
    processor: &BatchProcessor<impl WorkerHandler, BatchTelemetry>,
    level: tracing::Level,
    event: Value,
    context: Context,
) -> Result<BatchRun, NotSqs> {
    run_of(&Invocations::default(), processor, level, event, context).await
}

async fn run_of(
    invocations: &Invocations,
    processor: &BatchProcessor<impl WorkerHandler, BatchTelemetry>,
    level: tracing::Level,
    event: Value,
    context: Context,
) -> Result<BatchRun, NotSqs> {
    let log = Log::default();
    let event = LambdaEvent::new(serde_json::value::to_raw_value(&event).unwrap(), context);
    let handled = async {
        let invocation = invocations.begin(&event.context);
        invocation.instrument(processor.handle(event)).await
    };
    let response = handled.with_subscriber(logs::subscriber(level, log.clone())).await?;
    Ok(BatchRun { response: serde_json::to_value(response).unwrap(), log: log.lines(), text: log.text() })
}

/// The configuration of the function for these services.
pub fn config(services: &Services, variables: &[(&str, &str)]) -> Config {
    let mut environment = BTreeMap::from([
        ("INVENTORY_GRPC_ADDR", services.inventory_addr()),
        ("RESERVATION_API_BASE", services.reservation_api_base()),
        // On a busy machine, a reply can take longer than the default time-outs. The call would be made again.
        ("RESERVATION_API_TIMEOUT_MS", "60000".to_owned()),
        ("INVENTORY_TIMEOUT_MS", "60000".to_owned()),
    ]);
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Config::from_lookup(|variable| environment.get(variable).cloned()).unwrap()
}

/// The context of an invocation whose deadline is this long after 1970-01-01T00:00:00Z.
pub fn context(deadline: Duration) -> Context {
    let mut context = Context::default();
    context.request_id = "request-1".to_owned();
    context.deadline = u64::try_from(deadline.as_millis()).unwrap();
    context
}

/// The context of an invocation of this version of the function, with this X-Ray trace header.
pub fn context_of_version(version: &str, xray: &str) -> Context {
    let mut context = context(Duration::ZERO);
    context.xray_trace_id = Some(xray.to_owned());
    context.env_config = Arc::new(lambda_runtime::Config {
        function_name: "worker".to_owned(),
        memory: 256,
        version: version.to_owned(),
        log_stream: String::new(),
        log_group: String::new(),
    });
    context
}

/// The response to a batch and its log.
pub struct BatchRun {
    pub response: Value,
    pub log: Vec<Value>,
    /// The log as text.
    pub text: String,
}

impl BatchRun {
    /// The message ids in `batchItemFailures`.
    pub fn returned(&self) -> Vec<&str> {
        let failures = self.response["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
    }

    /// The summary line of a record, which must be the only one.
    pub fn line(&self, message_id: &str) -> &Value {
        let mut lines =
            self.log.iter().filter(|line| line["message_id"] == message_id && !line["outcome"].is_null());
        let line =
            lines.next().unwrap_or_else(|| panic!("no summary line for {message_id}: {:#?}", self.log));
        assert!(lines.next().is_none(), "two summary lines for {message_id}");
        line
    }

    pub fn outcome(&self, message_id: &str) -> &str {
        self.line(message_id)["outcome"].as_str().unwrap()
    }

    pub fn reason(&self, message_id: &str) -> &str {
        self.line(message_id)["reason"].as_str().unwrap()
    }
}

/// An event of a FIFO queue. Each record is a message id, a message group and a body.
pub fn fifo<'a>(records: impl IntoIterator<Item = (&'a str, &'a str, Value)>) -> Value {
    let records = records.into_iter().map(|(message_id, group, body)| {
        let mut record = record(message_id, body);
        record["eventSourceARN"] = json!("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events.fifo");
        record["attributes"]["MessageGroupId"] = json!(group);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// `payment.failed` for a hold created by [`TestApp::hold`].
pub fn failed(reservation_id: &str) -> Value {
    event(
        "payment.failed",
        reservation_id,
        json!({ "payment_intent_id": "pay_1", "error_code": "CARD_DECLINED" }),
    )
}

/// A writer that stores log lines.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
