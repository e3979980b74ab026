//! The record of calls: what arrived at the two services, in order, and how it was answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::services::locked;

/// A long-running desk forgets its oldest calls.
const KEPT: usize = 100_000;

/// One of the two services the function talks to (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Owns the reservation's status; REST.
    ReservationApi,
    /// Owns the seats; gRPC.
    Inventory,
}

/// One operation of the contract (section 3). Only these are recorded and can be struck by a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `PATCH /internal/reservations/{id}`
    UpdateStatus,
    /// `GET /internal/reservations/{id}`
    ReadReservation,
    /// `InventoryService/ReleaseHold`
    ReleaseHold,
    /// `InventoryService/CommitReservation`
    CommitReservation,
    /// `InventoryService/CheckAvailability`
    CheckAvailability,
}

impl Operation {
    /// The service that offers it.
    pub fn service(self) -> Service {
        match self {
            Self::UpdateStatus | Self::ReadReservation => Service::ReservationApi,
            Self::ReleaseHold | Self::CommitReservation | Self::CheckAvailability => Service::Inventory,
        }
    }
}

/// One call as it arrived, and the reply it got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// What was asked for.
    pub operation: Operation,
    /// The reservation it is about, decoded; empty for `CheckAvailability`.
    pub reservation_id: String,
    /// The HTTP path as sent, percent-encoded, or the gRPC path.
    pub path: String,
    /// HTTP headers or gRPC metadata; lower-case names, several values joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The JSON body, `null` without one, a string if it is not JSON; the gRPC message with its proto field names.
    pub body: Value,
    /// `200`, `409 RESERVATION_EXPIRED`; `SUCCESS`, `FAILED FAILED_PRECONDITION`, `UNAVAILABLE`; `hang`,
    /// `reset`; `in flight` until the reply, `abandoned` when the caller left before it.
    pub reply: String,
}

#[derive(Default)]
pub(crate) struct Calls(Mutex<Record>);

#[derive(Default)]
struct Record {
    calls: VecDeque<Call>,
    /// How many calls came before the first of `calls`.
    gone: usize,
    in_flight: usize,
    peak: usize,
}

impl Calls {
    /// Keeps the call's place in the order of arrival.
    pub(crate) fn arrive(
        &self,
        operation: Operation,
        reservation_id: &str,
        path: &str,
        headers: &HeaderMap,
        body: Value,
    ) -> Arrived<'_> {
        let call = Call {
            operation,
            reservation_id: reservation_id.to_owned(),
            path: path.to_owned(),
            headers: texts(headers),
            body,
            reply: "in flight".to_owned(),
        };
        let mut record = locked(&self.0);
        if record.calls.len() == KEPT {
            record.calls.pop_front();
            record.gone += 1;
        }
        record.calls.push_back(call);
        record.in_flight += 1;
        record.peak = record.peak.max(record.in_flight);
        Arrived { record: &self.0, number: record.gone + record.calls.len() - 1, answered: false }
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        locked(&self.0).calls.iter().cloned().collect()
    }

    pub(crate) fn about(&self, reservation_id: &str) -> Vec<Call> {
        locked(&self.0).calls.iter().filter(|call| call.reservation_id == reservation_id).cloned().collect()
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        let mut record = locked(&self.0);
        record.gone += record.calls.len();
        std::mem::take(&mut record.calls).into()
    }

    pub(crate) fn peak_in_flight(&self) -> usize {
        locked(&self.0).peak
    }
}

/// A call in flight; dropped with the call.
pub(crate) struct Arrived<'a> {
    record: &'a Mutex<Record>,
    number: usize,
    answered: bool,
}

impl Arrived<'_> {
    pub(crate) fn answered(&mut self, reply: &str) {
        self.answered = true;
        let mut record = locked(self.record);
        // A call that was taken out of the record meanwhile needs no reply there.
        let place = self.number.checked_sub(record.gone);
        if let Some(call) = place.and_then(|place| record.calls.get_mut(place)) {
            call.reply = reply.to_owned();
        }
    }
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.answered("abandoned");
        }
        locked(self.record).in_flight -= 1;
    }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(name.as_str().to_owned())
            .and_modify(|text| *text = format!("{text}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    texts
}
