//! Checks the invariants (contract section 1) and the outcome of each record (sections 3 to 5).

use std::collections::{HashMap, HashSet};

use reservation_worker_local::{Hold, SeatState, Status};
use serde_json::Value;

use crate::events::{Kind, Message};
use crate::function::Output;
use crate::plan::FailureKind;
use crate::queue::{Entry, Place, Received};
use crate::world::World;

/// Checks a response and its summary lines, then deletes the acknowledged messages as Lambda does. Returns
/// each record with its summary line.
///
/// Each record has one summary line, with the trace of its producer and an outcome that agrees with the services. The
/// lines of a reservation and of a FIFO group are in the order of the batch. The response lists a record if and only if
/// it is not acknowledged.
pub fn check_response<'a>(
    world: &World,
    batch: &'a [Received],
    output: &'a Output,
) -> Vec<(&'a Received, &'a Value)> {
    let returned = output.response["batchItemFailures"].as_array().unwrap().iter();
    let returned: Vec<_> = returned.map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
    let ids: Vec<_> = batch.iter().map(Received::message_id).collect();
    let in_order: Vec<_> = ids.iter().map(String::as_str).filter(|id| returned.contains(id)).collect();
    assert_eq!(returned, in_order, "the response lists records of the batch, once, in order");

    let mut queue = world.queue.lock().unwrap();
    let (mut last_positions, mut blocked_groups) = (HashMap::new(), HashSet::new());
    let summaries = batch.iter().map(|received| {
        let id = received.message_id();
        let mut lines = output.summaries.iter().enumerate().filter(|(_, line)| line["message_id"] == *id);
        let (position, line) = lines.next().unwrap_or_else(|| panic!("{id} has no summary line"));
        assert_eq!(lines.next(), None, "{id} has two summary lines");
        let entry = &mut queue.entries[received.number];
        let Message { kind, reservation_id, group, carriers, .. } = &entry.message;
        let trace_id = carriers.first().map(|(_, trace_id)| trace_id.as_str());
        assert_eq!(line["trace_id"].as_str(), trace_id, "the trace of {id}");
        let lane = (*kind != Kind::Poison).then(|| ("reservation", reservation_id.clone()));
        let group = world.plan.is_fifo.then(|| ("group", group.clone()));
        for name in lane.into_iter().chain(group.clone()) {
            let is_in_order =
                last_positions.insert(name.clone(), position).is_none_or(|last| last < position);
            assert!(is_in_order, "{id} was processed before an earlier record of {name:?}");
        }
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let (outcome, reason) = (text("outcome"), text("reason"));
        let acknowledged = !returned.contains(&&*id);
        let expected = is_acknowledged(world, entry, &outcome, &reason);
        assert_eq!(expected, Some(acknowledged), "{id} {:?} is {outcome}, {reason}", entry.message);
        if let Some(group) = group {
            let is_blocked = blocked_groups.contains(&group);
            assert!(!acknowledged || !is_blocked, "{id} follows a returned record of its group");
            let leaves_order = matches!(&*outcome, "failed" | "invalid_payload")
                || received.receives >= world.plan.max_receives;
            let is_redelivered = !acknowledged && !leaves_order;
            blocked_groups.extend(is_redelivered.then_some(group));
        }
        queue.entries[received.number].outcomes.push((outcome, reason));
        if acknowledged {
            queue.delete(received);
        }
        (received, line)
    });
    summaries.collect()
}

/// Whether a record with this outcome is acknowledged. `None` if the outcome contradicts the message or the
/// services.
fn is_acknowledged(world: &World, entry: &Entry, outcome: &str, reason: &str) -> Option<bool> {
    let message = &entry.message;
    let status = world.services.reservation(&message.reservation_id).map(|reservation| reservation.status);
    let seats = world.services.seat_state(&message.reservation_id);
    let (is_plausible, acknowledged) = match outcome {
        "success" => {
            let is_target =
                |(target_status, target_seats)| (status, seats) == (Some(target_status), Some(target_seats));
            (message.kind.target().is_some_and(is_target), true)
        }
        "superseded" => (is_superseded(message.kind, status?), true),
        "ignored" => (message.kind == Kind::NoWork, true),
        "invalid_payload" => (message.kind == Kind::Poison, false),
        "failed" => (is_rejected(message.kind, status, reason), false),
        "retried" => (!message.must_succeed_at_once && !is_final(reason), false),
        "deferred" => (!message.must_succeed_at_once, false),
        _ => (false, false),
    };
    (is_plausible && !reason.is_empty()).then_some(acknowledged)
}

/// Whether a message is a dead letter for a reason that has nothing to do with an outage. Its last receives may have
/// been during one.
fn needs_person(entry: &Entry) -> bool {
    entry.outcomes.iter().any(|(outcome, reason)| match entry.message.kind {
        Kind::Poison => outcome == "invalid_payload",
        Kind::UnknownReservation => outcome == "failed",
        _ => outcome == "failed" && rejected_by_status(reason).is_some(),
    })
}

fn is_superseded(kind: Kind, status: Status) -> bool {
    match kind {
        Kind::Expired => matches!(status, Status::Confirmed | Status::Cancelled),
        Kind::Failed => status == Status::Expired,
        _ => false,
    }
}

/// Whether the event is rejected because of the status of the reservation, or by a reply that is final by the
/// contract.
fn is_rejected(kind: Kind, status: Option<Status>, reason: &str) -> bool {
    if let Some((of_kind, of_status)) = rejected_by_status(reason) {
        return (kind, status) == (of_kind, Some(of_status));
    }
    match reason {
        // A faulty reservation API can reply with `{}`.
        "the ticketed event or the seats are missing: neither the event nor the reservation contains them" => {
            kind.target().is_some()
        }
        _ => (kind == Kind::UnknownReservation || kind.target().is_some()) && is_final(reason),
    }
}

/// The event and the status that lead to this reason.
fn rejected_by_status(reason: &str) -> Option<(Kind, Status)> {
    match reason {
        "paid but cancelled: refund due" => Some((Kind::Approved, Status::Cancelled)),
        "paid but expired: refund due" => Some((Kind::Approved, Status::Expired)),
        "failed payment of a confirmed reservation" => Some((Kind::Failed, Status::Confirmed)),
        _ => None,
    }
}

/// Whether the reason of a record names a reply that is final by the contract.
fn is_final(reason: &str) -> bool {
    let reply = reason.split_once(": ").map_or("", |(_, reply)| reply);
    let word = |word: &str| reply.split([' ', ',']).any(|found| found == word);
    let is_status = reply.get(..3).and_then(|status| status.parse().ok()).is_some_and(|status: u16| {
        (400..500).contains(&status) && ![401, 402, 403, 408, 409, 412, 425, 429].contains(&status)
    });
    // Without the code of an error of the API, these statuses mean a wrong address.
    let is_wrong_address = ["404", "405"].contains(&reply);
    let codes = ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "DATA_LOSS"];
    let error_codes = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "IDEMPOTENCY_REQUIRED",
        "RESERVATION_EXPIRED",
        "INVENTORY_CONFLICT",
        "INSUFFICIENT_INVENTORY",
        "DATA_CORRUPTION",
    ];
    let commit_failed = ["FAILED_PAYMENT", "FAILED_EXPIRED", "FAILED_CONFLICT"];
    is_status && !is_wrong_address
        || codes.into_iter().any(word)
        || error_codes.iter().any(|code| word(&format!("ERROR_CODE_{code}")))
        || commit_failed.iter().any(|status| word(&format!("COMMIT_STATUS_{status}")))
}

/// Checks the services and the queue after the end of a run.
///
/// # Errors
///
/// The invariant that is broken.
pub fn check_end(world: &World) -> Result<(), String> {
    let [reservation_api, inventory, _] = &world.links;
    if reservation_api.forgotten_connection_was_used() || inventory.forgotten_connection_was_used() {
        return Err("a call used a connection that its peer had forgotten".to_owned());
    }
    let queue = world.queue.lock().unwrap();
    let mut owners = HashMap::new();
    for Hold { reservation_id: id, event_id, seat_ids, .. } in
        world.plan.bookings.iter().map(|booking| &booking.hold)
    {
        let Some(reservation) = world.services.reservation(id) else { continue };
        let (status, seats) = (reservation.status, world.services.seat_state(id).unwrap());
        if seats == SeatState::Sold {
            for seat_id in seat_ids {
                if let Some(other) = owners.insert((event_id, seat_id), id) {
                    return Err(format!("{seat_id} is sold to {other} and to {id}"));
                }
            }
        }
        let entries = || queue.entries.iter().filter(|entry| entry.message.reservation_id == *id);
        let has_dead_letter = |status| {
            let has_target = |entry: &&Entry| entry.message.kind.target().is_some_and(|(to, _)| to == status);
            entries().filter(has_target).any(|entry| entry.place == Place::DeadLetters)
        };
        let is_consistent = match (status, seats) {
            (Status::Confirmed, SeatState::Sold) => true,
            (Status::Expired | Status::Cancelled, SeatState::Available) => true,
            (Status::Confirmed | Status::Expired | Status::Cancelled, SeatState::Hold) => {
                has_dead_letter(status)
            }
            // Every event that could end the hold is a dead letter.
            (Status::Hold, SeatState::Hold) => entries()
                .all(|entry| entry.message.kind.target().is_none() || entry.place == Place::DeadLetters),
            _ => false,
        };
        if !is_consistent {
            return Err(format!("{id} is {status:?}, its seats are {seats:?}"));
        }
    }
    for (number, entry) in queue.entries.iter().enumerate() {
        // Every deleted message was acknowledged, and `check_response` has checked its outcome. A dead letter
        // must have an outcome too, unless the invocation was killed at every receive.
        let is_explained = !entry.outcomes.is_empty() || entry.killed == entry.receives;
        if entry.place == Place::DeadLetters && !is_explained {
            return Err(format!("m{number} is a dead letter without a summary line"));
        }
        let needs_person = world.plan.failure_kind == FailureKind::ManyFailures || needs_person(entry);
        if entry.place == Place::DeadLetters && !needs_person {
            return Err(format!(
                "m{number} is a dead letter because of an outage: {:?}",
                entry.outcomes.last()
            ));
        }
        if entry.message.must_succeed_at_once && entry.place != Place::Deleted {
            return Err(format!("m{number} did not succeed at once: {:?}", entry.outcomes.last()));
        }
    }
    Ok(())
}
