//! A process of the function, with the real batch engine, workflow and clients.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::aws;
use reservation_worker::config::Config;
use reservation_worker::telemetry::batch::BatchTelemetry;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use reservation_worker::worker::{Worker, recall};
use rustls::RootCertStore;
use serde_json::Value;
use sqs_batch::BatchProcessor;
use sqs_batch::visibility::Visibility;

use crate::clock;
use crate::conditions::LINKS;
use crate::network::Link;

pub struct Function {
    processor: BatchProcessor<Worker, BatchTelemetry>,
    invocations: Invocations,
}

/// The result of an invocation.
pub struct Output {
    pub response: Value,
    /// The summary lines of the records, in the order in which they were logged.
    pub summaries: Vec<Value>,
}

/// The configuration that consists of the addresses of `links` and of `variables`.
pub fn config(links: &[Rc<Link>; LINKS], variables: &[(&'static str, String)]) -> Config {
    let [reservation_api, inventory, _] = links;
    Config::from_lookup(|variable| match variable {
        "INVENTORY_GRPC_ADDR" => Some(inventory.addr.to_string()),
        "RESERVATION_API_BASE" => Some(format!("http://{}", reservation_api.addr)),
        _ => variables.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.clone()),
    })
    .unwrap()
}

impl Function {
    /// A cold start. The configuration consists of the addresses of `links` and of `variables`.
    pub fn start(links: &[Rc<Link>; LINKS], variables: &[(&'static str, String)]) -> Self {
        Self::with_config(config(links, variables), links)
    }

    /// A cold start with a configuration for these links.
    pub fn with_config(config: Config, [_, _, queue]: &[Rc<Link>; LINKS]) -> Self {
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("ap-northeast-2"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws::http().unwrap())
            .endpoint_url(format!("http://{}", queue.addr));
        let sqs = Client::from_conf(sqs.build());
        let visibility = Visibility::new(config.backoff, move |_| std::future::ready(sqs.clone()))
            .with_queue_url(config.sqs_queue_url.map(String::from));
        let (metrics, roots) = (config.metrics.metrics(), RootCertStore::empty());
        let worker = Worker::new(&config.reservation_api, &config.inventory, roots, metrics.clone()).unwrap();
        let processor = BatchProcessor::new(worker, config.batch)
            .with_observer(BatchTelemetry::new(metrics))
            .with_visibility(visibility);
        Self { processor, invocations: Invocations::default() }
    }

    /// Handles an invocation whose deadline is in `time`.
    pub async fn invoke(&self, request_id: &str, event: &Value, time: Duration) -> Output {
        let mut context = Context::default();
        context.request_id = request_id.to_owned();
        let end = clock::wall_clock().duration_since(UNIX_EPOCH).unwrap() + time;
        context.deadline = end.as_millis() as u64;
        let invocation = self.invocations.begin(&context);
        let event = LambdaEvent::new(serde_json::value::to_raw_value(event).unwrap(), context);
        let response = invocation.instrument(self.processor.handle(event)).await.unwrap();
        Output { response: serde_json::to_value(response).unwrap(), summaries: take_summaries(request_id) }
    }

    /// What the function does after its response, before it asks for the next event.
    pub async fn after_response(&self, time_left: Duration) {
        recall(&self.processor, time_left).await;
    }
}

thread_local! {
    /// The summary lines of the simulated processes in this thread.
    static SUMMARIES: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

fn take_summaries(request_id: &str) -> Vec<Value> {
    SUMMARIES.with_borrow_mut(|lines| lines.extract_if(.., |line| line["request_id"] == request_id).collect())
}

/// Collects the summary lines of all simulated processes.
pub fn collect_summaries() {
    // An error means that the subscriber is already installed.
    let _ = tracing::subscriber::set_global_default(logs::subscriber(tracing::Level::INFO, || Collector));
}

/// Discards the summary lines of killed invocations.
pub fn discard_summaries() {
    SUMMARIES.with_borrow_mut(Vec::clear);
}

struct Collector;

impl io::Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line: Value = serde_json::from_slice(bytes)?;
        if !line["outcome"].is_null() {
            SUMMARIES.with_borrow_mut(|lines| lines.push(line));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
