//! Runs a table of the contract as one batch. A row is a record, the behaviour of the services, and the
//! expected result.

use reservation_worker::event::EventType;
use reservation_worker_local::{Effect, Fault, Operation, SeatState, Service, Status};
use serde_json::Value;

use crate::test_app::{BatchRun, TestApp, approved, expired, failed, sqs};

pub use Operation::{
    CommitReservation as COMMIT, ReadReservation as GET, ReleaseHold as RELEASE, UpdateStatus as PATCH,
};

/// Variables for tests that count calls. No breaker opens, all rows run concurrently, and every line is logged.
pub const GENEROUS_LIMITS: [(&str, &str); 3] =
    [("BREAKER_FAILURES", "0"), ("WORKER_CONCURRENCY", "200"), ("LOG_LEVEL", "debug")];

/// A test app with [`GENEROUS_LIMITS`] and these variables, which take precedence.
pub async fn app_with_generous_limits(variables: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&GENEROUS_LIMITS, variables].concat()).await
}

/// The kinds of events that need work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Expired,
    Approved,
    Failed,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Expired, Self::Approved, Self::Failed];

    /// The kind of the events of this type; `None` if no event of this type needs work.
    pub fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::ReservationExpired => Some(Self::Expired),
            EventType::PaymentApproved => Some(Self::Approved),
            EventType::PaymentFailed => Some(Self::Failed),
            EventType::PaymentStatusUpdated
            | EventType::ReservationHoldCreated
            | EventType::ReservationCreated
            | EventType::ReservationConfirmed
            | EventType::WorkerHeartbeat => None,
        }
    }

    /// The event for a hold made by [`TestApp::hold`].
    pub fn event(self, reservation_id: &str) -> Value {
        match self {
            Self::Expired => expired(reservation_id),
            Self::Approved => approved(reservation_id),
            Self::Failed => failed(reservation_id),
        }
    }

    /// The event without the facts that the reservation also has.
    pub fn event_without_facts(self, reservation_id: &str) -> Value {
        without_facts(self.event(reservation_id), &["event_id", "seat_ids", "user_id"])
    }

    /// The reply to a status update that says that the reservation already has the target status.
    pub fn already_in_target_status(self) -> Effect {
        Effect::http_code(
            409,
            match self {
                Self::Expired => "RESERVATION_EXPIRED",
                Self::Approved => "RESERVATION_ALREADY_CONFIRMED",
                Self::Failed => "RESERVATION_ALREADY_CANCELLED",
            },
        )
    }

    /// The status that the event requests.
    pub fn target_status(self) -> Status {
        match self {
            Self::Expired => Status::Expired,
            Self::Approved => Status::Confirmed,
            Self::Failed => Status::Cancelled,
        }
    }

    /// The call of the inventory that the event leads to.
    pub fn inventory_call(self) -> Operation {
        match self {
            Self::Approved => COMMIT,
            _ => RELEASE,
        }
    }

    /// The state of the seats after the event is processed.
    pub fn final_seat_state(self) -> SeatState {
        match self {
            Self::Approved => SeatState::Sold,
            _ => SeatState::Available,
        }
    }
}

/// An event without these facts.
pub fn without_facts(mut event: Value, facts: &[&str]) -> Value {
    let detail = event["detail"].as_object_mut().unwrap();
    detail.retain(|name, _| !facts.contains(&name.as_str()));
    event
}

/// The reservation API sends this reply and does not perform the operation.
pub fn reply(status: u16, body: impl ToString) -> Effect {
    Effect::HttpBody { status, content_type: "application/json".to_owned(), body: body.to_string() }
}

/// The reservation API performs the operation and replies with this body, unless it refuses the operation.
pub fn success_with_body(body: impl ToString) -> Effect {
    Effect::Body { content_type: "application/json".to_owned(), body: body.to_string() }
}

/// The operations called for a reservation, in order.
pub fn operations(app: &TestApp, reservation_id: &str) -> Vec<Operation> {
    let calls = app.services.calls_for(reservation_id);
    calls.iter().map(|call| call.operation).collect()
}

/// The requests to the inventory for a reservation, in order.
pub fn inventory_requests(app: &TestApp, reservation_id: &str) -> Vec<Value> {
    let calls = app.services.calls_for(reservation_id).into_iter();
    let seats = calls.filter(|call| call.operation.service() == Service::Inventory);
    seats.map(|call| call.body).collect()
}

/// Asserts invariant 3 of the contract: the seats agree with the status. It holds when the queue is empty.
pub fn assert_seats_match_status(app: &TestApp, reservation_id: &str) {
    let status = app.services.reservation(reservation_id).unwrap().status;
    let seats = match status {
        Status::Hold => SeatState::Hold,
        Status::Confirmed => SeatState::Sold,
        Status::Cancelled | Status::Expired => SeatState::Available,
    };
    assert_eq!(app.services.seat_state(reservation_id), Some(seats), "{reservation_id} is {status:?}");
}

/// A record for a hold that no other row has.
pub struct Row {
    name: String,
    event: Box<dyn Fn(&str) -> Value>,
    initial_status: Status,
    faults: Vec<(Operation, Effect)>,
    outcome: &'static str,
    reason: Vec<String>,
    calls: Vec<Operation>,
}

impl Row {
    /// A row with the event of this kind.
    pub fn new(kind: Kind, name: impl ToString) -> Self {
        Self::for_event(format!("{kind:?}, {}", name.to_string()), move |id| kind.event(id))
    }

    /// A row with any event. `event` makes it from the id of the reservation.
    pub fn for_event(name: impl ToString, event: impl Fn(&str) -> Value + 'static) -> Self {
        Self {
            name: name.to_string(),
            event: Box::new(event),
            initial_status: Status::Hold,
            faults: Vec::new(),
            outcome: "",
            reason: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Before the batch, the reservation has this status instead of `HOLD`.
    pub fn initial_status(mut self, status: Status) -> Self {
        self.initial_status = status;
        self
    }

    /// Every call of this operation has this effect.
    pub fn fault(mut self, operation: Operation, effect: Effect) -> Self {
        self.faults.push((operation, effect));
        self
    }

    /// The expected outcome and calls.
    pub fn expects(mut self, outcome: &'static str, calls: impl Into<Vec<Operation>>) -> Self {
        self.outcome = outcome;
        self.calls = calls.into();
        self
    }

    /// A text that the reason must contain.
    pub fn reason_contains(mut self, text: impl ToString) -> Self {
        self.reason.push(text.to_string());
        self
    }

    /// The differences between the expected and the actual result.
    fn differences(&self, app: &TestApp, run: &BatchRun, id: &str) -> Vec<String> {
        let (outcome, reason) = (run.outcome(id), run.reason(id));
        let mut differences = Vec::new();
        if outcome != self.outcome {
            differences.push(format!("outcome {outcome} ({reason}) instead of {}", self.outcome));
        }
        let missing = self.reason.iter().filter(|text| !reason.contains(*text));
        differences.extend(missing.map(|text| format!("reason {reason:?} without {text:?}")));
        let calls = operations(app, id);
        if calls != self.calls {
            differences.push(format!("calls {calls:?} instead of {:?}", self.calls));
        }
        let acknowledged = matches!(self.outcome, "success" | "superseded" | "ignored");
        if run.returned().contains(&id) == acknowledged {
            differences.push(format!("acknowledged: {}", !acknowledged));
        }
        differences
    }
}

/// Runs the rows as one batch. Asserts the expected results and reports the differences of all rows together.
pub async fn check_rows(app: &TestApp, rows: impl IntoIterator<Item = Row>) -> BatchRun {
    let rows: Vec<_> =
        rows.into_iter().enumerate().map(|(number, row)| (format!("row-{number}"), row)).collect();
    assert!(!rows.is_empty());
    for (id, row) in &rows {
        app.hold(id);
        app.services.set_reservation_status(id, row.initial_status);
        for (operation, effect) in &row.faults {
            app.services.fault(Fault::on(*operation, id, effect.clone()));
        }
    }
    let records = rows.iter().map(|(id, row)| (id.as_str(), (row.event)(id)));
    let run = app.run(sqs(records)).await;
    let differences: Vec<_> = rows
        .iter()
        .flat_map(|(id, row)| {
            let with_name = |difference| format!("{}: {difference}", row.name);
            row.differences(app, &run, id).into_iter().map(with_name)
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    run
}

/// Asserts that no line of the log contains this text.
pub fn assert_never_logged(run: &BatchRun, secret: &str) {
    for line in &run.log {
        assert!(!line.to_string().contains(secret), "{secret:?} in {line}");
    }
}
