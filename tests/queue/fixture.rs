//! A queue, both services, and an event source mapping that runs processes of the function.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reservation_worker_local::event_source::{Mapping, Queue, RunningMapping, Sqs};
use reservation_worker_local::{Hold, SeatState, Services, Status, cargo};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Longer than any test lasts.
pub const LONG: Duration = Duration::from_secs(300);
/// The limit for each wait, long enough for a busy machine.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

pub struct Fixture {
    pub services: Services,
    pub queue: Queue,
    pub sqs: Sqs,
}

fn function() -> PathBuf {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    let binaries = BINARIES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        cargo::test_binaries(Path::new(env!("CARGO_MANIFEST_DIR")), target).unwrap()
    });
    binaries.join("reservation-worker")
}

impl Fixture {
    /// Starts the services, and a queue that delivers a message up to `max_receives` times. `visibility` is
    /// the default visibility time-out of the queue.
    pub async fn new(fifo: bool, max_receives: u32, visibility: Duration) -> Self {
        let sqs = Sqs::start_moto(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools")).await.unwrap();
        let queue = sqs.create("reservation-events", fifo, max_receives, visibility).await.unwrap();
        Self { services: Services::start().await.unwrap(), queue, sqs }
    }

    /// A mapping with up to four processes of the function. The back-off is short, to keep the tests fast.
    pub fn mapping(&self, variables: &[(&str, &str)]) -> Mapping {
        let mut environment = self.services.environment();
        environment.extend(
            [("BACKOFF_BASE_MS", "1"), ("BACKOFF_MAX_MS", "1"), ("OUTAGE_BACKOFF_MS", "1")].map(owned),
        );
        environment.extend(variables.iter().copied().map(owned));
        Mapping { maximum_concurrency: 4, ..Mapping::new(&self.queue, function(), environment) }
    }

    pub fn hold(&self, id: &str) {
        let hold = Hold {
            reservation_id: id.to_owned(),
            event_id: "evt_1".to_owned(),
            user_id: None,
            seat_ids: vec![format!("{id}/A"), format!("{id}/B")],
            quantity: None,
        };
        self.services.create_hold(hold).unwrap();
    }

    /// Creates a hold for each number and sends its approved payment. Returns the ids of the reservations.
    pub async fn pay(&self, numbers: Range<usize>) -> Vec<String> {
        let ids: Vec<_> = numbers.map(|number| format!("r{number}")).collect();
        ids.iter().for_each(|id| self.hold(id));
        self.queue.send(ids.iter().map(|id| approved(id))).await.unwrap();
        ids
    }

    /// Waits until the queue is empty and no message is in flight.
    pub async fn drained(&self, running: &RunningMapping) {
        let started = Instant::now();
        while self.queue.depth().await.unwrap() != (0, 0) || running.stats().in_flight > 0 {
            assert!(started.elapsed() < WAIT_LIMIT, "{:?} {:?}", self.queue.depth().await, running.stats());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the condition is true.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < WAIT_LIMIT, "{:?}", self.queue.depth().await);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asserts that the reservation has ended and that its seats agree with its status (invariant 3). Returns
    /// the status.
    pub fn assert_completed(&self, id: &str) -> Status {
        let status = self.services.reservation(id).unwrap().status;
        let seats = match status {
            Status::Confirmed => SeatState::Sold,
            Status::Expired | Status::Cancelled => SeatState::Available,
            Status::Hold => panic!("{id} is still on hold"),
        };
        assert_eq!(self.services.seat_state(id), Some(seats), "{id} is {status:?}");
        status
    }
}

/// The process that wrote a line of the log. The Runtime API puts its process id into the request ids.
pub fn process(line: &Value) -> &str {
    line["request_id"].as_str().unwrap().split('-').next().unwrap()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub fn expired(id: &str) -> String {
    event("reservation.expired", id, json!({}))
}

pub fn approved(id: &str) -> String {
    event("payment.approved", id, json!({ "payment_intent_id": format!("pay-{id}") }))
}

pub fn failed(id: &str) -> String {
    event("payment.failed", id, json!({ "error_code": "CARD_DECLINED" }))
}

fn event(event_type: &str, id: &str, more: Value) -> String {
    let mut detail = json!({
        "reservation_id": id, "event_id": "evt_1", "seat_ids": [format!("{id}/A"), format!("{id}/B")],
    });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "detail-type": event_type, "source": "test", "detail": detail }).to_string()
}
