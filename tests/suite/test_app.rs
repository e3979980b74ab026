//! The function at a app: real services, a batch in, its response and its log lines out.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::aws;
use reservation_worker::batch::{Batch, Handler, NotSqs};
use reservation_worker::config::Config;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use reservation_worker::telemetry::metrics::{ClockReading, Metrics, Sink};
use reservation_worker::telemetry::traces::Traces;
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use reservation_worker_local::{Hold, Services};
use rustls::RootCertStore;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber;

/// The services and the function, in one process.
pub struct TestApp {
    pub services: Services,
    batch: Batch<Worker>,
    invocations: Invocations,
    metrics: Metrics,
    sink: Sink,
    emf: Log,
    traces: Traces,
    level: tracing::Level,
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables besides the addresses of the services.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let services = Services::start().await.unwrap();
        Self::of(services, variables, RootCertStore::empty())
    }

    pub fn of(services: Services, variables: &[(&str, &str)], roots: RootCertStore) -> Self {
        let config = config(&services, variables);
        let (metrics, emf) = (Metrics::new(&config), Log::default());
        let sqs = sqs_client(services.visibility().endpoint());
        let visibility = Visibility::with(&config, metrics.clone(), OnceCell::new_with(Some(sqs)));
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&aws(services.cloudwatch().endpoint()));
        let cloudwatch = OnceCell::new_with(Some(cloudwatch));
        let sink = Sink::new(&config, metrics.clone(), cloudwatch, emf.clone());
        let traces = Traces::new(&config, &roots);
        let worker = Worker::new(&config, roots, metrics.clone()).unwrap();
        let batch = Batch::new(&config, worker, visibility, metrics.clone());
        let invocations = Invocations::new(metrics.clone(), traces.clone());
        Self { services, batch, invocations, metrics, sink, emf, traces, level: config.log_level }
    }

    /// Creates a hold of seats `A-1` and `A-2` of `evt_1` for `user_1`.
    pub fn hold(&self, reservation_id: &str) {
        let seat_ids = ["A-1", "A-2"].map(|seat| format!("{reservation_id}/{seat}")).to_vec();
        let user_id = Some("user_1".to_owned());
        let (reservation_id, event_id) = (reservation_id.to_owned(), "evt_1".to_owned());
        self.services
            .create_hold(Hold { reservation_id, event_id, user_id, seat_ids, quantity: None })
            .unwrap();
    }

    /// The same, once.
    pub fn hold_if_new(&self, reservation_id: &str) {
        if self.services.reservation(reservation_id).is_none() {
            self.hold(reservation_id);
        }
    }

    /// Connects to the inventory, as `main` does while the runtime waits for its first event.
    pub async fn connect(&self, now: ClockReading) {
        self.batch.handler().connect(now).await;
    }

    /// Runs a batch with all the time that Lambda can give.
    pub async fn run(&self, event: Value) -> BatchRun {
        self.run_within(event, Duration::from_secs(900)).await
    }

    /// Runs a batch that Lambda would end after `time`.
    pub async fn run_within(&self, event: Value, time: Duration) -> BatchRun {
        let ends = SystemTime::now() + time;
        self.run_in(event, context(ends.duration_since(UNIX_EPOCH).unwrap())).await.unwrap()
    }

    /// Sends the spans, as `main` does when the response is out; what is logged meanwhile.
    pub async fn flush(&self, within: Duration) -> String {
        self.flush_at(ClockReading::now(), within).await
    }

    /// The same at this moment.
    pub async fn flush_at(&self, now: ClockReading, within: Duration) -> String {
        let log = Log::default();
        self.traces.flush(within, now).with_subscriber(logs::subscriber(self.level, log.clone())).await;
        log.text()
    }

    /// What follows a response, at this moment; what it wrote to the log.
    pub async fn after_response(&self, now: ClockReading) -> String {
        let log = Log::default();
        let work = self.sink.after_response("request-1", Duration::MAX, now);
        work.with_subscriber(logs::subscriber(self.level, log.clone())).await;
        log.text()
    }

    /// What the function does when it is told to end.
    pub async fn shutdown(&self) {
        self.sink.shutdown().await;
    }

    /// Where the function records.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The EMF lines so far.
    pub fn emf(&self) -> &Log {
        &self.emf
    }

    /// Runs a batch on another handler.
    pub async fn run_on<H: Handler>(&self, batch: &Batch<H>, event: Value) -> BatchRun {
        run_of(&self.invocations, batch, self.level, event, context(Duration::ZERO)).await.unwrap()
    }

    /// Runs a batch in any context.
    pub async fn run_in(&self, event: Value, context: Context) -> Result<BatchRun, NotSqs> {
        run_of(&self.invocations, &self.batch, self.level, event, context).await
    }
}

pub fn sqs_client(endpoint: &str) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&aws(endpoint))
}

/// An AWS that is not there but at this endpoint.
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

/// Runs a batch on any handler.
pub async fn run<H: Handler>(
    batch: &Batch<H>,
    level: tracing::Level,
    event: Value,
    context: Context,
) -> Result<BatchRun, NotSqs> {
    run_of(&Invocations::default(), batch, level, event, context).await
}

async fn run_of<H: Handler>(
    invocations: &Invocations,
    batch: &Batch<H>,
    level: tracing::Level,
    event: Value,
    context: Context,
) -> Result<BatchRun, NotSqs> {
    let log = Log::default();
    let event = LambdaEvent::new(serde_json::value::to_raw_value(&event).unwrap(), context);
    let handled = async {
        let invocation = invocations.begin(&event.context);
        invocation.around(batch.handle(event)).await
    };
    let response = handled.with_subscriber(logs::subscriber(level, log.clone())).await?;
    Ok(BatchRun { response: serde_json::to_value(response).unwrap(), log: log.lines(), text: log.text() })
}

/// The function's configuration for these services.
pub fn config(services: &Services, variables: &[(&str, &str)]) -> Config {
    let mut environment = BTreeMap::from([
        ("INVENTORY_GRPC_ADDR", services.inventory_addr()),
        ("RESERVATION_API_BASE", services.reservation_api_base()),
    ]);
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Config::from_lookup(|variable| environment.get(variable).cloned()).unwrap()
}

/// An invocation that Lambda ends so long after 1970.
pub fn context(deadline: Duration) -> Context {
    let mut context = Context::default();
    context.request_id = "request-1".to_owned();
    context.deadline = u64::try_from(deadline.as_millis()).unwrap();
    context
}

/// An invocation of this version of the function, in Lambda's trace of this header.
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

/// What came of a batch.
pub struct BatchRun {
    pub response: Value,
    pub log: Vec<Value>,
    /// The log as it was written.
    pub text: String,
}

impl BatchRun {
    /// The message ids in `batchItemFailures`.
    pub fn returned(&self) -> Vec<&str> {
        let failures = self.response["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
    }

    /// The one summary line of a record.
    pub fn line(&self, message_id: &str) -> &Value {
        let mut lines =
            self.log.iter().filter(|line| line["message_id"] == message_id && !line["outcome"].is_null());
        let line = lines.next().unwrap_or_else(|| panic!("no summary line of {message_id}: {:#?}", self.log));
        assert!(lines.next().is_none(), "two summary lines of {message_id}");
        line
    }

    pub fn outcome(&self, message_id: &str) -> &str {
        self.line(message_id)["outcome"].as_str().unwrap()
    }

    pub fn reason(&self, message_id: &str) -> &str {
        self.line(message_id)["reason"].as_str().unwrap()
    }
}

/// A standard queue's event; each record is a message id and a body, which is sent as it is if it is a string.
pub fn sqs<'a>(records: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let records: Vec<_> = records.into_iter().map(|(message_id, body)| record(message_id, body)).collect();
    json!({ "Records": records })
}

/// A FIFO queue's event; each record is a message id, a message group and a body.
pub fn fifo<'a>(records: impl IntoIterator<Item = (&'a str, &'a str, Value)>) -> Value {
    let records = records.into_iter().map(|(message_id, group, body)| {
        let mut record = record(message_id, body);
        record["eventSourceARN"] = json!("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events.fifo");
        record["attributes"]["MessageGroupId"] = json!(group);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// One record as Lambda passes it.
pub fn record(message_id: &str, body: Value) -> Value {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    json!({
        "messageId": message_id,
        "receiptHandle": "AQEB",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000" },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
        "awsRegion": "ap-northeast-2",
    })
}

/// `reservation.expired` of a hold made by [`TestApp::hold`].
pub fn expired(reservation_id: &str) -> Value {
    event("reservation.expired", reservation_id, json!({}))
}

/// `payment.approved` of a hold made by [`TestApp::hold`].
pub fn approved(reservation_id: &str) -> Value {
    event("payment.approved", reservation_id, json!({ "payment_intent_id": "pay_1", "user_id": "user_1" }))
}

/// `payment.failed` of a hold made by [`TestApp::hold`].
pub fn failed(reservation_id: &str) -> Value {
    event(
        "payment.failed",
        reservation_id,
        json!({ "payment_intent_id": "pay_1", "error_code": "CARD_DECLINED" }),
    )
}

fn event(event_type: &str, reservation_id: &str, more: Value) -> Value {
    let mut detail = json!({
        "reservation_id": reservation_id,
        "event_id": "evt_1",
        "seat_ids": [format!("{reservation_id}/A-1"), format!("{reservation_id}/A-2")],
    });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "detail-type": event_type, "source": "reservation-service", "detail": detail })
}

/// Keeps log lines.
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
