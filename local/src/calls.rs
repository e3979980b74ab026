//! The call log: the requests that arrived at the two services, in order, with their replies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumMessage, IntoStaticStr, VariantArray};

use crate::lock::locked;

/// The oldest calls are removed above this number, so that the services can run for a long time.
const MAX_CALLS: usize = 100_000;

/// One of the two services that the function calls (contract section 1).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Serialize,
    Deserialize,
    Hash,
    PartialOrd,
    Ord,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Service {
    /// Owns the status of a reservation; REST.
    ReservationApi,
    /// Owns the seats; gRPC.
    Inventory,
}

/// An operation of one of the two services (contract section 3). Only calls of these operations are logged and can have
/// faults.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Serialize,
    Deserialize,
    Hash,
    PartialOrd,
    Ord,
    EnumMessage,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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

impl Service {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Operation {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The service that has this operation.
    pub fn service(self) -> Service {
        match self {
            Self::UpdateStatus | Self::ReadReservation => Service::ReservationApi,
            Self::ReleaseHold | Self::CommitReservation | Self::CheckAvailability => Service::Inventory,
        }
    }
}

/// A call as it arrived, with a short form of its reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// The operation that was called.
    pub operation: Operation,
    /// The decoded reservation id; empty for `CheckAvailability`.
    pub reservation_id: String,
    /// The HTTP path as it was sent, percent-encoded, or the gRPC path.
    pub path: String,
    /// The HTTP headers or the gRPC metadata, by lower-case name. Several values of one name are joined by a
    /// comma and a space.
    pub headers: BTreeMap<String, String>,
    /// The request. REST: the JSON body, a string if the body is not JSON, `null` if there is no body. gRPC:
    /// the message, with the field names of the `.proto` file.
    pub body: Value,
    /// The short form of the reply:
    ///
    /// - REST: the HTTP status and the error code, for example `200` or `409 RESERVATION_EXPIRED`.
    /// - gRPC with a message: its status and its error code, for example `SUCCESS` or `UNSPECIFIED NOT_FOUND`.
    /// - gRPC without a message: the gRPC status, for example `UNAVAILABLE`.
    /// - `hang` or `reset`: a fault suppressed the reply.
    /// - `in flight`: there is no reply yet.
    /// - `abandoned`: the caller disconnected before the reply.
    pub reply: String,
}

/// The calls to both services.
#[derive(Default)]
pub(crate) struct CallLog(Mutex<LoggedCalls>);

#[derive(Default)]
struct LoggedCalls {
    calls: VecDeque<Call>,
    /// The number of earlier calls that are no longer in `calls`.
    removed: usize,
    in_flight: usize,
    /// The number of calls whose reply is known.
    answered: usize,
    /// The largest value of `in_flight` up to now.
    peak: usize,
}

impl CallLog {
    /// Adds a call that has arrived and has no reply yet.
    pub(crate) fn add(
        &self,
        operation: Operation,
        reservation_id: &str,
        path: &str,
        headers: &HeaderMap,
        body: Value,
    ) -> CallInFlight<'_> {
        let call = Call {
            operation,
            reservation_id: reservation_id.to_owned(),
            path: path.to_owned(),
            headers: header_values(headers),
            body,
            reply: "in flight".to_owned(),
        };
        let mut log = locked(&self.0);
        if log.calls.len() == MAX_CALLS {
            log.calls.pop_front();
            log.removed += 1;
        }
        log.calls.push_back(call);
        log.in_flight += 1;
        log.peak = log.peak.max(log.in_flight);
        CallInFlight { log: &self.0, number: log.removed + log.calls.len() - 1, has_reply: false }
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        locked(&self.0).calls.iter().cloned().collect()
    }

    pub(crate) fn for_reservation(&self, reservation_id: &str) -> Vec<Call> {
        locked(&self.0).calls.iter().filter(|call| call.reservation_id == reservation_id).cloned().collect()
    }

    /// Removes and returns all calls.
    pub(crate) fn take(&self) -> Vec<Call> {
        let mut log = locked(&self.0);
        log.removed += log.calls.len();
        std::mem::take(&mut log.calls).into()
    }

    /// The number of calls since the start whose reply is known, suppressed and abandoned replies included.
    pub(crate) fn answered(&self) -> usize {
        locked(&self.0).answered
    }

    pub(crate) fn peak_in_flight(&self) -> usize {
        locked(&self.0).peak
    }
}

/// A call in flight. If it is dropped before it has a reply, its caller has abandoned it.
pub(crate) struct CallInFlight<'a> {
    log: &'a Mutex<LoggedCalls>,
    number: usize,
    has_reply: bool,
}

impl CallInFlight<'_> {
    pub(crate) fn set_reply(&mut self, reply: &str) {
        self.has_reply = true;
        let mut log = locked(self.log);
        log.answered += 1;
        // The call may have been removed from the log in the meantime.
        let index = self.number.checked_sub(log.removed);
        if let Some(call) = index.and_then(|index| log.calls.get_mut(index)) {
            call.reply = reply.to_owned();
        }
    }
}

impl Drop for CallInFlight<'_> {
    fn drop(&mut self) {
        if !self.has_reply {
            self.set_reply("abandoned");
        }
        locked(self.log).in_flight -= 1;
    }
}

fn header_values(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut values = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        values
            .entry(name.as_str().to_owned())
            .and_modify(|joined| *joined = format!("{joined}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    values
}
