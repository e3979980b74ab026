//! The deployed function with everything around it: both services, the queue, and the event source mapping, which
//! starts as many processes of the function as the load requires.

pub mod attempts;
pub mod mapping;
pub mod queue;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use reservation_worker::services::retry::Retry;
use reservation_worker_local::{Hold, Services};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use crate::clock::{self, Clock};
use crate::conditions::LINKS;
use crate::function::{self, Function};
use crate::network::Link;
use crate::trace;
use queue::DeploymentQueue;

/// On a FIFO queue, the events belong to this many message groups.
const GROUPS: usize = 100;
/// A retry budget that is never used up.
const UNLIMITED_RETRIES_PER_SECOND: u32 = 1_000_000;

/// What is configured in a deployment.
#[derive(Debug, Clone)]
pub struct Settings {
    pub is_fifo: bool,
    pub max_receives: u32,
    /// The largest number of concurrent invocations.
    pub concurrency: usize,
    /// A process is not used again when it is this old.
    pub process_lifetime: Option<Duration>,
    /// Which of the free processes gets the next invocation. Lambda does not document its choice.
    pub choice: Choice,
    /// Without it, each call that fails is tried again twice.
    pub has_retry_budget: bool,
    /// Environment variables of the function, besides those that follow from the other settings.
    pub variables: Vec<(&'static str, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_fifo: false,
            max_receives: 5,
            concurrency: 50,
            process_lifetime: None,
            choice: Choice::MostRecentlyUsed,
            has_retry_budget: true,
            variables: Vec::new(),
        }
    }
}

/// Which free process gets the next invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The others may never be used again, so this is the worst case for records that only they can recall.
    MostRecentlyUsed,
    Random,
}

pub struct Deployment {
    pub services: Services,
    pub links: [Rc<Link>; LINKS],
    pub queue: Arc<Mutex<DeploymentQueue>>,
    /// When each invocation began and ended.
    pub invocations: RefCell<Vec<(Instant, Instant)>>,
    settings: Settings,
    sent: Cell<usize>,
}

/// Runs a world to its end in this thread. Nothing of an earlier world is left, and the function's attempts of calls
/// are collected.
pub fn run<F: Future>(world: impl FnOnce(Clock) -> F) -> F::Output {
    fastrand::seed(1);
    trace::take();
    attempts::take();
    let _subscriber = tracing::subscriber::set_default(attempts::subscriber());
    let output = clock::run(world);
    trace::take();
    output
}

impl Deployment {
    pub async fn new(mut settings: Settings, clock: &Clock) -> Self {
        let max_receives = settings.max_receives;
        settings.variables.push(("MAX_RETRIES", max_receives.to_string()));
        settings.variables.push(("METRICS_SINK", "none".to_owned()));
        let mut rng = Rng::with_seed(1);
        let services = Services::start().await.unwrap();
        let queue = Arc::new(Mutex::new(DeploymentQueue::new(settings.is_fifo, max_receives, rng.fork())));
        let changed_queue = queue.clone();
        services.visibility().set_entry_check(move |entry| {
            let time = Duration::from_secs(entry.visibility_timeout.unsigned_abs());
            changed_queue.lock().unwrap().change_visibility(&entry.receipt_handle, time)
        });
        let links = Link::to_services(&services, clock, &mut rng);
        Self { services, links, queue, invocations: RefCell::default(), settings, sent: Cell::default() }
    }

    /// A cold start of the function.
    fn start_process(&self) -> Function {
        let mut config = function::config(&self.links, &self.settings.variables);
        if !self.settings.has_retry_budget {
            let retry = Retry::with_minimum(UNLIMITED_RETRIES_PER_SECOND);
            config.reservation_api.retry = retry.clone();
            config.inventory.retry = retry;
        }
        Function::with_config(config, &self.links)
    }

    /// Whether a process that was started at this time is no longer used.
    fn is_retired(&self, started: Instant) -> bool {
        self.settings.process_lifetime.is_some_and(|lifetime| started.elapsed() >= lifetime)
    }

    /// Sends an event about a new hold.
    pub fn send(&self) {
        let number = self.sent.replace(self.sent.get() + 1);
        let hold = Hold {
            reservation_id: format!("r{number}"),
            event_id: "evt_1".to_owned(),
            user_id: Some("user_1".to_owned()),
            seat_ids: vec![format!("A-{number}")],
            quantity: None,
        };
        let mut detail = json!({
            "reservation_id": hold.reservation_id,
            "event_id": hold.event_id,
            "seat_ids": hold.seat_ids,
        });
        let event_type = if number.is_multiple_of(2) { "reservation.expired" } else { "payment.approved" };
        if event_type == "payment.approved" {
            detail["payment_intent_id"] = "pay_1".into();
            detail["user_id"] = "user_1".into();
        }
        self.services.create_hold(hold).unwrap();
        let body = json!({ "detail-type": event_type, "source": "simulation", "detail": detail });
        let group = format!("g{}", number % GROUPS);
        self.queue.lock().unwrap().send(body.to_string(), group, false);
    }

    /// Waits for a state of the queue.
    pub async fn until(&self, is_reached: impl Fn(&DeploymentQueue) -> bool) {
        let changed = self.queue.lock().unwrap().changed.clone();
        while !is_reached(&self.queue.lock().unwrap()) {
            tokio::select! {
                biased;
                () = changed.notified() => {}
                // A message that becomes a dead letter notifies nobody.
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}
