//! What a process is measured with: the events, the replies of the services, and the expected responses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::{Effect, Fault, Hold, Operation, Service, Services, Status};
use serde_json::{Value, json};

use crate::Error;

/// The part of an invocation's time that is reserved for the response. It is long, so that a response is in time even
/// if the machine stalls for a moment.
pub const DEADLINE_RESERVE: Duration = Duration::from_secs(2);

/// The work of a process.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The number of records per batch.
    pub records: usize,
    /// The number of batches that are measured.
    pub batches: usize,
    /// The number of processes that are measured, one after the other.
    pub rounds: usize,
    /// The number of batches before the measurement, which open connections and fill caches.
    pub warm_up_batches: usize,
    /// `WORKER_CONCURRENCY`.
    pub concurrency: usize,
    /// One of this number of records has a sampled trace.
    pub sampled_one_in: usize,
    /// The share of a core that the process may use, if it is limited.
    pub cores: Option<f64>,
    pub kind: Kind,
}

impl Workload {
    /// Values for the fields that a workload does not set.
    pub const BASE: Self = Self {
        records: 10,
        batches: 0,
        rounds: 9,
        warm_up_batches: 3,
        concurrency: 100,
        sampled_one_in: 1,
        cores: None,
        kind: Kind::Expired,
    };
}

/// The events of a workload, and how the services reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Holds expire.
    Expired,
    /// Payments are approved: the seats are sold.
    Approved,
    /// Payments fail.
    FailedPayment,
    /// No record is a valid event.
    Invalid,
    /// Holds expire, but the reservation API replies 503 to every call, so its breaker is open.
    Unavailable,
    /// Holds expire whose reservations are confirmed already: the reservation API replies 409.
    Conflict,
}

/// The payload of an invocation, and the response that it must get.
pub struct Batch {
    pub payload: String,
    pub response: Value,
}

impl Kind {
    /// The time-out of an invocation. With an open breaker, records wait for it for 200 ms, until the reserve is
    /// reached.
    pub fn time_limit(self) -> Duration {
        if self == Self::Unavailable {
            DEADLINE_RESERVE + Duration::from_millis(200)
        } else {
            Duration::from_secs(60)
        }
    }

    /// Makes the services reply after 5 ms and 2 ms, or fail.
    pub fn prepare(self, services: &Services) {
        if self == Self::Unavailable {
            services.fault(Fault::any(Operation::UpdateStatus, Effect::http(503)));
        }
        services.fault(Fault::of_service(Service::ReservationApi, Effect::latency(5)));
        services.fault(Fault::of_service(Service::Inventory, Effect::latency(2)));
    }

    /// The calls to the services that an event leads to. While a breaker is open, their number depends on time.
    pub fn calls_per_event(self) -> Option<usize> {
        match self {
            Self::Expired | Self::Approved | Self::FailedPayment => Some(2),
            Self::Conflict => Some(1),
            Self::Invalid => Some(0),
            Self::Unavailable => None,
        }
    }

    fn returns_records(self) -> bool {
        matches!(self, Self::Invalid | Self::Unavailable)
    }

    fn body(self, number: usize, hold: &Hold) -> String {
        let Hold { reservation_id, event_id, seat_ids, .. } = hold;
        let event = |event_type, detail| json!({ "detail-type": event_type, "detail": detail }).to_string();
        let facts = json!({ "reservation_id": reservation_id, "event_id": event_id, "seat_ids": seat_ids });
        let payment = json!({
            "reservation_id": reservation_id, "event_id": event_id, "seat_ids": seat_ids,
            "payment_intent_id": format!("pi-{reservation_id}"), "amount": 198_000, "currency": "KRW",
        });
        match (self, number % 3) {
            (Self::Approved, _) => event("payment.approved", payment),
            (Self::FailedPayment, _) => event("payment.failed", payment),
            (Self::Invalid, 0) => event("reservation.unknown", facts),
            (Self::Invalid, 1) => event("reservation.expired", json!({ "reservation_id": "../x" })),
            (Self::Invalid, _) => "{".to_owned(),
            (Self::Expired | Self::Unavailable | Self::Conflict, _) => event("reservation.expired", facts),
        }
    }
}

impl Workload {
    /// Creates holds, and batches with an event for each of them.
    pub fn batches(&self, services: &Services) -> Result<Vec<Batch>, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        (0..self.warm_up_batches + self.batches).map(|batch| self.batch(services, now, batch)).collect()
    }

    fn batch(&self, services: &Services, now: Duration, batch: usize) -> Result<Batch, Error> {
        let series = now.as_nanos();
        let (mut records, mut failures) = (Vec::new(), Vec::new());
        for number in 0..self.records {
            let hold = Hold {
                reservation_id: format!("r-{series}-{batch}-{number}"),
                event_id: format!("evt-{series}-{batch}"),
                user_id: None,
                seat_ids: vec![format!("A-{number}"), format!("B-{number}")],
                quantity: None,
            };
            let message_id = format!("{batch:08x}-0000-4000-8000-{number:012x}");
            let sampled = u8::from((batch * self.records + number).is_multiple_of(self.sampled_one_in));
            let trace = format!("1-{:08x}-{batch:012x}{number:012x}", now.as_secs());
            records.push(json!({
                "messageId": message_id,
                "receiptHandle": "AQEB",
                "body": self.kind.body(number, &hold),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": now.as_millis().to_string(),
                    "AWSTraceHeader": format!("Root={trace};Parent={:016x};Sampled={sampled}", number + 1),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
                "awsRegion": "ap-northeast-2",
            }));
            if self.kind.returns_records() {
                failures.push(json!({ "itemIdentifier": message_id }));
            }
            let reservation_id = hold.reservation_id.clone();
            services.create_hold(hold)?;
            if self.kind == Kind::Conflict {
                services.set_reservation_status(&reservation_id, Status::Confirmed);
            }
        }
        Ok(Batch {
            payload: json!({ "Records": records }).to_string(),
            response: json!({ "batchItemFailures": failures }),
        })
    }
}
