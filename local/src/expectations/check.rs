//! Compares the actual results of a case with the expected ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::case::{Case, ExpectedRecord, FinalState};
use crate::calls::{Call, Operation};
use crate::services::Services;

/// The outcomes with which a record is returned to the queue (contract section 4).
const RETURNED: [&str; 4] = ["retried", "deferred", "failed", "invalid_payload"];

/// The summary line that the function logs for one record, without the fields that no command needs.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// The message id of the record.
    pub message_id: String,
    /// The event type; `unknown` if the function could not read it.
    pub event_type: String,
    /// One of the seven outcomes of contract section 4.
    pub outcome: String,
    /// Why the record has this outcome.
    pub reason: String,
    /// The code of the reason; only if the record is returned.
    pub reason_code: Option<String>,
    /// What a person must do; only if a person must act.
    pub advice: Option<String>,
}

impl Summary {
    /// Decodes a line of the function's log. Returns `None` if the line is not a summary.
    pub fn of(line: &Value) -> Option<Self> {
        Self::deserialize(line).ok()
    }

    fn explanation(&self) -> Vec<String> {
        let Some(code) = &self.reason_code else { return Vec::new() };
        let advice = self.advice.iter().map(|advice| format!("advice: {advice}"));
        [format!("{code}: {}", self.reason)].into_iter().chain(advice).collect()
    }
}

/// The actual results of one case.
#[derive(Clone, Debug, Default)]
pub struct CaseReport {
    /// The results of each record, in the order of the batch.
    pub records: Vec<RecordReport>,
    /// Descriptions of the results that differ from the expected ones. Empty if the case has passed.
    pub differences: Vec<String>,
}

/// The actual results of one record.
#[derive(Clone, Debug)]
pub struct RecordReport {
    /// The message id of the record.
    pub message_id: String,
    /// The event type in the summary line; `-` if there is no summary line.
    pub event_type: String,
    /// The outcome in the summary line; `-` if there is no summary line.
    pub outcome: String,
    /// Whether this is the expected outcome.
    pub is_expected: bool,
    /// Why the record was returned, and what a person must do; empty if it was acknowledged.
    pub explanation: Vec<String>,
    /// The calls for the record's reservation. Several records can have the same reservation. Each of them then
    /// has as many calls as are expected for it, in order, and the last one has the rest.
    pub calls: Vec<String>,
    /// The id and the status of the record's reservation. Empty if the record has no valid reservation id.
    pub reservation: Vec<String>,
    /// The seats of the record's reservation with their states, for example `A-12 SOLD`.
    pub seats: Vec<String>,
}

impl Case {
    /// Compares what has happened since [`Given::apply`](super::Given::apply) with the expected results: the
    /// response, the summary lines, all calls, and the final state of reservations and seats. Removes the
    /// recorded calls.
    pub fn check(&self, services: &Services, response: &Value, summaries: &[Summary]) -> CaseReport {
        let mut report = CaseReport::default();
        report.expect("the response", &self.response(), response);

        let mut calls = BTreeMap::<String, Vec<String>>::new();
        for call in services.take_calls() {
            calls.entry(call.reservation_id.clone()).or_default().push(short_form(&call));
        }
        for (index, record) in self.records.iter().enumerate() {
            let is_last_for_reservation =
                self.records[index + 1..].iter().all(|later| later.reservation_id != record.reservation_id);
            let remaining = record.reservation_id.as_ref().and_then(|id| calls.get_mut(id));
            let record_calls = remaining.map_or_else(Vec::new, |remaining| {
                let count = if is_last_for_reservation { remaining.len() } else { record.calls.len() };
                remaining.drain(..count.min(remaining.len())).collect()
            });
            report.add_record(record, record_calls, services, summaries);
        }
        calls.retain(|_, remaining| !remaining.is_empty());
        report.expect("calls for other reservations", &BTreeMap::new(), &calls);
        let ids: BTreeSet<_> = self.records.iter().map(|record| &record.message_id).collect();
        let others = summaries.iter().filter(|summary| !ids.contains(&summary.message_id));
        report.expect("summary lines of other records", &0, &others.count());
        for (reservation_id, expected) in &self.after {
            let seats = services.seats(reservation_id);
            let reservation = services.reservation(reservation_id);
            let actual = reservation.map(|reservation| FinalState { status: reservation.status, seats });
            report.expect(reservation_id, &Some(expected), &actual.as_ref());
        }
        report
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

impl CaseReport {
    fn expect<T: Serialize>(&mut self, subject: &str, expected: &T, actual: &T) {
        let (expected, actual) = (json!(expected), json!(actual));
        if expected != actual {
            self.differences.push(format!("{subject}: expected {expected}, was {actual}"));
        }
    }

    fn add_record(
        &mut self,
        expected: &ExpectedRecord,
        calls: Vec<String>,
        services: &Services,
        summaries: &[Summary],
    ) {
        let id = &expected.message_id;
        let mut lines = summaries.iter().filter(|summary| summary.message_id == *id);
        let summary = lines.next();
        let line_count = usize::from(summary.is_some()) + lines.count();
        let reservation_id = expected.reservation_id.as_deref();
        let actual = RecordReport {
            message_id: id.clone(),
            event_type: summary.map_or("-", |summary| &summary.event_type).to_owned(),
            outcome: summary.map_or("-", |summary| &summary.outcome).to_owned(),
            is_expected: summary.is_some_and(|summary| summary.outcome == expected.outcome),
            explanation: summary.map_or_else(Vec::new, Summary::explanation),
            calls,
            reservation: reservation_id.map_or_else(Vec::new, |id| reservation(services, id)),
            seats: reservation_id.map_or_else(Vec::new, |id| seats(services, id)),
        };
        self.expect(&format!("{id}, summary lines"), &1, &line_count);
        self.expect(&format!("{id}, event type"), &expected.event_type, &actual.event_type);
        self.expect(&format!("{id}, outcome"), &expected.outcome, &actual.outcome);
        self.expect(&format!("{id}, calls"), &expected.calls, &actual.calls);
        self.records.push(actual);
    }
}

fn reservation(services: &Services, id: &str) -> Vec<String> {
    let status = services.reservation(id).map(|reservation| text(reservation.status));
    vec![id.to_owned(), status.unwrap_or_else(|| "(unknown)".to_owned())]
}

fn seats(services: &Services, id: &str) -> Vec<String> {
    let seats = services.seats(id).into_iter();
    seats.map(|(seat_id, state)| format!("{seat_id} {}", text(state))).collect()
}

/// A call in the form of the expectations file, for example `ReleaseHold EXPIRED A-12 A-13 -> SUCCESS`.
fn short_form(call: &Call) -> String {
    let request = match call.operation {
        Operation::UpdateStatus => format!("PATCH {}", text(&call.body["status"])),
        Operation::ReadReservation => "GET".to_owned(),
        Operation::ReleaseHold => {
            format!("ReleaseHold {} {}", text(&call.body["reason"]), requested_seats(&call.body))
        }
        Operation::CommitReservation => format!("CommitReservation {}", requested_seats(&call.body)),
        Operation::CheckAvailability => format!("CheckAvailability {}", requested_seats(&call.body)),
    };
    format!("{request} -> {}", call.reply)
}

/// The seats that a request names: their ids, or `x` and their number in a quantity-based hold.
fn requested_seats(body: &Value) -> String {
    match body["seat_ids"].as_array() {
        Some(seats) if !seats.is_empty() => seats.iter().map(text).collect::<Vec<_>>().join(" "),
        _ => format!("x{}", body["quantity"]),
    }
}

/// A JSON string without its quotes.
fn text(value: impl Serialize) -> String {
    json!(value).as_str().unwrap_or("?").to_owned()
}
