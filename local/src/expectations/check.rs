//! What came of a case, and what of it is not as expected.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{After, Case, Record};
use crate::calls::{Call, Operation};
use crate::services::Services;

/// Outcomes whose records go back to the queue (contract section 4).
const RETURNED: [&str; 4] = ["retried", "deferred", "failed", "invalid_payload"];

/// The function's summary line of one record, as far as it is looked at here.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// Which record.
    pub message_id: String,
    /// Its type; `unknown` if there was no telling.
    pub event_type: String,
    /// One of the contract's seven.
    pub outcome: String,
}

impl Summary {
    /// Reads a line of the function's log; `None` if it is not a summary.
    pub fn of(line: &Value) -> Option<Self> {
        Self::deserialize(line).ok()
    }
}

/// What came of one case.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// One for each record, in the order of the batch.
    pub rows: Vec<Row>,
    /// Everything that is not as expected; empty when the case has passed.
    pub differences: Vec<String>,
}

/// What came of one record.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which record.
    pub message_id: String,
    /// As logged; `-` if it was not.
    pub event_type: String,
    /// As logged; `-` if it was not.
    pub outcome: String,
    /// The calls about its reservation, those that earlier records of the batch account for left out.
    pub calls: Vec<String>,
    /// Its reservation's id and status; empty if it names no reservation.
    pub reservation: Vec<String>,
    /// Its reservation's seats and their states.
    pub seats: Vec<String>,
}

impl Case {
    /// Compares what has happened since [`Given::apply`](super::Given::apply) with what should have: the
    /// response, the summary lines, every call, and how reservations and seats stand. Takes the calls.
    pub fn check(&self, services: &Services, response: &Value, summaries: &[Summary]) -> Checked {
        let mut checked = Checked::default();
        checked.expect("the response", &self.response(), response);

        let mut calls = BTreeMap::<String, Vec<String>>::new();
        for call in services.take_calls() {
            let about = calls.entry(call.reservation_id.clone()).or_default();
            about.push(spelled(&call));
        }
        for (place, record) in self.records.iter().enumerate() {
            let later = &self.records[place + 1..];
            let is_last = later.iter().all(|later| later.reservation_id != record.reservation_id);
            let about = record.reservation_id.as_ref().and_then(|id| calls.get_mut(id));
            let calls = about.map_or_else(Vec::new, |about| {
                let share = if is_last { about.len() } else { record.calls.len() };
                about.drain(..share.min(about.len())).collect()
            });
            checked.record(record, calls, services, summaries);
        }
        calls.retain(|_, about| !about.is_empty());
        checked.expect("calls about other reservations", &BTreeMap::new(), &calls);
        let ids: BTreeSet<_> = self.records.iter().map(|record| &record.message_id).collect();
        let strays = summaries.iter().filter(|summary| !ids.contains(&summary.message_id));
        checked.expect("summary lines of other records", &0, &strays.count());
        for (reservation_id, after) in &self.after {
            let seats = services.seats(reservation_id);
            let now = services.reservation(reservation_id).map(|now| After { status: now.status, seats });
            checked.expect(reservation_id, &Some(after), &now.as_ref());
        }
        checked
    }

    fn response(&self) -> Value {
        let failures: Vec<_> = self
            .records
            .iter()
            .filter(|record| RETURNED.contains(&record.outcome.as_str()))
            .map(|record| json!({ "itemIdentifier": record.message_id }))
            .collect();
        json!({ "batchItemFailures": failures })
    }
}

impl Checked {
    fn expect<T: Serialize>(&mut self, what: &str, expected: &T, was: &T) {
        let (expected, was) = (json!(expected), json!(was));
        if expected != was {
            self.differences.push(format!("{what}: expected {expected}, was {was}"));
        }
    }

    fn record(&mut self, record: &Record, calls: Vec<String>, services: &Services, summaries: &[Summary]) {
        let id = &record.message_id;
        let mut lines = summaries.iter().filter(|summary| summary.message_id == *id);
        let summary = lines.next();
        let logged = usize::from(summary.is_some()) + lines.count();
        let reservation_id = record.reservation_id.as_deref();
        let row = Row {
            message_id: id.clone(),
            event_type: summary.map_or("-", |summary| &summary.event_type).to_owned(),
            outcome: summary.map_or("-", |summary| &summary.outcome).to_owned(),
            calls,
            reservation: reservation_id.map_or_else(Vec::new, |id| reservation(services, id)),
            seats: reservation_id.map_or_else(Vec::new, |id| seats(services, id)),
        };
        self.expect(&format!("{id}, summary lines"), &1, &logged);
        self.expect(&format!("{id}, event type"), &record.event_type, &row.event_type);
        self.expect(&format!("{id}, outcome"), &record.outcome, &row.outcome);
        self.expect(&format!("{id}, calls"), &record.calls, &row.calls);
        self.rows.push(row);
    }
}

fn reservation(services: &Services, id: &str) -> Vec<String> {
    let status = services.reservation(id).map(|reservation| word(reservation.status));
    vec![id.to_owned(), status.unwrap_or_else(|| "(unknown)".to_owned())]
}

fn seats(services: &Services, id: &str) -> Vec<String> {
    let seats = services.seats(id).into_iter();
    seats.map(|(seat_id, state)| format!("{seat_id} {}", word(state))).collect()
}

/// A call as expectations spell it, such as `ReleaseHold EXPIRED A-12 A-13 -> SUCCESS`.
fn spelled(call: &Call) -> String {
    let asked = match call.operation {
        Operation::UpdateStatus => format!("PATCH {}", word(&call.body["status"])),
        Operation::ReadReservation => "GET".to_owned(),
        Operation::ReleaseHold => {
            format!("ReleaseHold {} {}", word(&call.body["reason"]), places(&call.body))
        }
        Operation::CommitReservation => format!("CommitReservation {}", places(&call.body)),
        Operation::CheckAvailability => format!("CheckAvailability {}", places(&call.body)),
    };
    format!("{asked} -> {}", call.reply)
}

fn places(body: &Value) -> String {
    match body["seat_ids"].as_array() {
        Some(seats) if !seats.is_empty() => seats.iter().map(word).collect::<Vec<_>>().join(" "),
        _ => format!("x{}", body["quantity"]),
    }
}

/// A JSON string without its quotes.
fn word(value: impl Serialize) -> String {
    json!(value).as_str().unwrap_or("?").to_owned()
}
