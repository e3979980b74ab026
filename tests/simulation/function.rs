//! One instance of the function: the real batch engine, workflow and clients.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use lambda_runtime::{Context, LambdaEvent};
use reservation_worker::aws;
use reservation_worker::batch::Batch;
use reservation_worker::config::Config;
use reservation_worker::telemetry::invocation::Invocations;
use reservation_worker::telemetry::logs;
use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::visibility::Visibility;
use reservation_worker::worker::Worker;
use rustls::RootCertStore;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::world::World;

pub struct Function {
    batch: Batch<Worker>,
    invocations: Invocations,
}

/// What came of an invocation.
pub struct Answer {
    pub response: Value,
    /// The records' summary lines.
    pub told: Vec<Value>,
}

impl Function {
    /// A cold start.
    pub fn start(world: &World) -> Self {
        let [reservation_api, inventory, queue] = &world.links;
        let config = Config::from_lookup(|variable| match variable {
            "INVENTORY_GRPC_ADDR" => Some(inventory.addr.to_string()),
            "RESERVATION_API_BASE" => Some(format!("http://{}", reservation_api.addr)),
            _ => {
                let (_, value) = world.plan.variables.iter().find(|(name, _)| *name == variable)?;
                Some(value.to_string())
            }
        })
        .unwrap();
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("ap-northeast-2"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws::http().unwrap())
            .endpoint_url(format!("http://{}", queue.addr));
        let metrics = Metrics::new(&config);
        let sqs = OnceCell::new_with(Some(Client::from_conf(sqs.build())));
        let visibility = Visibility::with(&config, metrics.clone(), sqs);
        let worker = Worker::new(&config, RootCertStore::empty(), metrics.clone()).unwrap();
        let batch = Batch::new(&config, worker, visibility, metrics);
        Self { batch, invocations: Invocations::default() }
    }

    /// An invocation that Lambda ends after `time`.
    pub async fn invoke(&self, request_id: &str, event: &Value, time: Duration) -> Answer {
        let mut context = Context::default();
        context.request_id = request_id.to_owned();
        context.deadline = milliseconds_since_1970() + time.as_millis() as u64;
        let invocation = self.invocations.begin(&context);
        let event = LambdaEvent::new(serde_json::value::to_raw_value(event).unwrap(), context);
        let response = invocation.instrument(self.batch.handle(event)).await.unwrap();
        Answer { response: serde_json::to_value(response).unwrap(), told: take_told(request_id) }
    }
}

/// The function reads this clock a moment later, and from then on the simulated one. Early in a millisecond,
/// so that both readings are of the same.
fn milliseconds_since_1970() -> u64 {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        if now.subsec_micros() % 1_000 < 700 {
            return now.as_millis() as u64;
        }
        std::hint::spin_loop();
    }
}

thread_local! {
    /// The summary lines of all instances in this thread's world.
    static TOLD: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

fn take_told(request_id: &str) -> Vec<Value> {
    TOLD.with_borrow_mut(|told| told.extract_if(.., |line| line["request_id"] == request_id).collect())
}

/// Makes all instances of this process log to where their invocations look.
pub fn listen() {
    // An error means that it was done before.
    let _ = tracing::subscriber::set_global_default(logs::subscriber(tracing::Level::INFO, || Listener));
}

/// Forgets what killed invocations have told.
pub fn forget() {
    TOLD.with_borrow_mut(Vec::clear);
}

struct Listener;

impl io::Write for Listener {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let told: Value = serde_json::from_slice(line)?;
        if !told["outcome"].is_null() {
            TOLD.with_borrow_mut(|all| all.push(told));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
