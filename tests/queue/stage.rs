//! A queue, both services, and the mapping with release processes of the function between them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reservation_worker_local::event_source::{Mapping, Queue, RunningMapping, Sqs};
use reservation_worker_local::{Hold, SeatState, Services, Status, cargo};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Longer than any test lasts.
pub const LONG: Duration = Duration::from_secs(300);
/// For whatever a busy machine takes longer for.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Stage {
    pub services: Services,
    pub queue: Queue,
    pub sqs: Sqs,
}

fn release() -> PathBuf {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    let release = RELEASE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        cargo::build_release(Path::new(env!("CARGO_MANIFEST_DIR")), target).unwrap()
    });
    release.join("reservation-worker")
}

impl Stage {
    /// A queue that gives a message out `max_receives` times, and again after this visibility time-out when
    /// nobody asks for another.
    pub async fn new(fifo: bool, max_receives: u32, visibility: Duration) -> Self {
        let sqs = Sqs::start_moto(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools")).await.unwrap();
        let queue = sqs.create("reservation-events", fifo, max_receives, visibility).await.unwrap();
        Self { services: Services::start().await.unwrap(), queue, sqs }
    }

    /// A mapping of up to four processes; the back-off is short, so that no test waits for it.
    pub fn mapping(&self, variables: &[(&str, &str)]) -> Mapping {
        let mut environment = self.services.environment();
        environment.extend([("BACKOFF_BASE_MS", "1"), ("BACKOFF_MAX_MS", "1")].map(owned));
        environment.extend(variables.iter().copied().map(owned));
        Mapping { maximum_concurrency: 4, ..Mapping::new(&self.queue, release(), environment) }
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

    /// Waits until the queue is empty.
    pub async fn drained(&self, running: &RunningMapping) {
        let started = Instant::now();
        while self.queue.depth().await.unwrap() != (0, 0) || running.stats().in_flight > 0 {
            assert!(started.elapsed() < PATIENCE, "{:?} {:?}", self.queue.depth().await, running.stats());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it is so.
    pub async fn until(&self, it_is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !it_is_so() {
            assert!(started.elapsed() < PATIENCE, "{:?}", self.queue.depth().await);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Status and seats agree (invariant 3), and the reservation has ended.
    pub fn assert_settled(&self, id: &str) -> Status {
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
