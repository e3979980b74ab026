//! A table of the contract as one batch: a row is a record, what the services do to it, and what must come of it.

use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::Value;

use crate::test_app::{BatchRun, TestApp, approved, expired, failed, sqs};

pub use Operation::{
    CommitReservation as COMMIT, ReadReservation as GET, ReleaseHold as RELEASE, UpdateStatus as PATCH,
};

/// For tests that count calls: no slow machine makes a time-out of its own, no breaker opens, every line is
/// logged, and all rows run at once.
pub const PATIENT: [(&str, &str); 5] = [
    ("RESERVATION_API_TIMEOUT_MS", "60000"),
    ("INVENTORY_TIMEOUT_MS", "60000"),
    ("BREAKER_FAILURES", "0"),
    ("WORKER_CONCURRENCY", "200"),
    ("LOG_LEVEL", "debug"),
];

/// [`PATIENT`] but for these variables.
pub async fn patient(but: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&PATIENT, but].concat()).await
}

/// The three event types that ask for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Expired,
    Approved,
    Failed,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Expired, Self::Approved, Self::Failed];

    /// The event about a hold made by [`TestApp::hold`].
    pub fn event(self, reservation_id: &str) -> Value {
        match self {
            Self::Expired => expired(reservation_id),
            Self::Approved => approved(reservation_id),
            Self::Failed => failed(reservation_id),
        }
    }

    /// The same without what the reservation knows too. An expiry always names its ticketed event.
    pub fn event_without_facts(self, reservation_id: &str) -> Value {
        match self {
            Self::Expired => without(self.event(reservation_id), &["seat_ids"]),
            _ => without(self.event(reservation_id), &["event_id", "seat_ids", "user_id"]),
        }
    }

    /// What tells that the status was reached before.
    pub fn already(self) -> Effect {
        Effect::http_code(
            409,
            match self {
                Self::Expired => "RESERVATION_EXPIRED",
                Self::Approved => "RESERVATION_ALREADY_CONFIRMED",
                Self::Failed => "RESERVATION_ALREADY_CANCELLED",
            },
        )
    }

    pub fn target(self) -> Status {
        match self {
            Self::Expired => Status::Expired,
            Self::Approved => Status::Confirmed,
            Self::Failed => Status::Cancelled,
        }
    }

    /// The call to the inventory that it leads to.
    pub fn seat_call(self) -> Operation {
        match self {
            Self::Approved => COMMIT,
            _ => RELEASE,
        }
    }

    /// What becomes of the seats when all is done.
    pub fn seats(self) -> SeatState {
        match self {
            Self::Approved => SeatState::Sold,
            _ => SeatState::Available,
        }
    }
}

/// An event without these facts.
pub fn without(mut event: Value, facts: &[&str]) -> Value {
    let detail = event["detail"].as_object_mut().unwrap();
    detail.retain(|name, _| !facts.contains(&name.as_str()));
    event
}

/// This reply of the reservation API instead of its work.
pub fn reply(status: u16, body: impl ToString) -> Effect {
    Effect::HttpBody { status, content_type: "application/json".to_owned(), body: body.to_string() }
}

/// The reservation API does its work and replies this, if it did not refuse.
pub fn done_with(body: impl ToString) -> Effect {
    Effect::Body { content_type: "application/json".to_owned(), body: body.to_string() }
}

/// The operations called for a reservation, in order.
pub fn operations(app: &TestApp, reservation_id: &str) -> Vec<Operation> {
    let calls = app.services.calls_for(reservation_id);
    calls.iter().map(|call| call.operation).collect()
}

/// The requests to the inventory for a reservation, in order.
pub fn seat_requests(app: &TestApp, reservation_id: &str) -> Vec<Value> {
    let calls = app.services.calls_for(reservation_id).into_iter();
    let seats = calls.filter(|call| call.operation.service() == Service::Inventory);
    seats.map(|call| call.body).collect()
}

/// Invariant 3 of the contract, once nothing is left on the queue.
pub fn assert_agreement(app: &TestApp, reservation_id: &str) {
    let status = app.services.reservation(reservation_id).unwrap().status;
    let seats = match status {
        Status::Hold => SeatState::Hold,
        Status::Confirmed => SeatState::Sold,
        Status::Cancelled | Status::Expired => SeatState::Available,
    };
    assert_eq!(app.services.seat_state(reservation_id), Some(seats), "{reservation_id} is {status:?}");
}

/// A record about a hold of its own.
pub struct Row {
    name: String,
    event: Box<dyn Fn(&str) -> Value>,
    found: Status,
    faults: Vec<(Operation, Effect)>,
    outcome: &'static str,
    reason: Vec<String>,
    calls: Vec<Operation>,
}

impl Row {
    pub fn new(kind: Kind, name: impl ToString) -> Self {
        Self::of(format!("{kind:?}, {}", name.to_string()), move |id| kind.event(id))
    }

    /// With any event, made from the reservation's id.
    pub fn of(name: impl ToString, event: impl Fn(&str) -> Value + 'static) -> Self {
        Self {
            name: name.to_string(),
            event: Box::new(event),
            found: Status::Hold,
            faults: Vec::new(),
            outcome: "",
            reason: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// The reservation has this status already.
    pub fn found(mut self, status: Status) -> Self {
        self.found = status;
        self
    }

    /// Every such call meets this.
    pub fn fault(mut self, operation: Operation, effect: Effect) -> Self {
        self.faults.push((operation, effect));
        self
    }

    /// The outcome that must come of it, and the calls that must be made.
    pub fn gives(mut self, outcome: &'static str, calls: impl Into<Vec<Operation>>) -> Self {
        self.outcome = outcome;
        self.calls = calls.into();
        self
    }

    /// Words that the reason must have.
    pub fn because(mut self, words: impl ToString) -> Self {
        self.reason.push(words.to_string());
        self
    }

    fn differences(&self, app: &TestApp, ran: &BatchRun, id: &str) -> Vec<String> {
        let (outcome, reason) = (ran.outcome(id), ran.reason(id));
        let mut differences = Vec::new();
        if outcome != self.outcome {
            differences.push(format!("outcome {outcome} ({reason}), not {}", self.outcome));
        }
        let missing = self.reason.iter().filter(|words| !reason.contains(*words));
        differences.extend(missing.map(|words| format!("reason {reason:?} without {words:?}")));
        let calls = operations(app, id);
        if calls != self.calls {
            differences.push(format!("calls {calls:?}, not {:?}", self.calls));
        }
        let acknowledged = matches!(self.outcome, "success" | "superseded" | "ignored");
        if ran.returned().contains(&id) == acknowledged {
            differences.push(format!("acknowledged: {}", !acknowledged));
        }
        differences
    }
}

/// Runs the rows as one batch and says of all of them at once what differs.
pub async fn check(app: &TestApp, rows: impl IntoIterator<Item = Row>) -> BatchRun {
    let rows: Vec<_> =
        rows.into_iter().enumerate().map(|(number, row)| (format!("row-{number}"), row)).collect();
    assert!(!rows.is_empty());
    for (id, row) in &rows {
        app.hold(id);
        app.services.set_reservation_status(id, row.found);
        for (operation, effect) in &row.faults {
            app.services.fault(Fault::on(*operation, id, effect.clone()));
        }
    }
    let records = rows.iter().map(|(id, row)| (id.as_str(), (row.event)(id)));
    let ran = app.run(sqs(records)).await;
    let differences: Vec<_> = rows
        .iter()
        .flat_map(|(id, row)| {
            let of_row = |difference| format!("{}: {difference}", row.name);
            row.differences(app, &ran, id).into_iter().map(of_row)
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    ran
}

/// Nothing of the log holds this text.
pub fn never_logged(ran: &BatchRun, secret: &str) {
    for line in &ran.log {
        assert!(!line.to_string().contains(secret), "{secret:?} in {line}");
    }
}
