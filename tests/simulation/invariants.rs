//! What must hold (contract section 1), and what the function may say of each record (sections 3 to 5).

use std::collections::{HashMap, HashSet};

use reservation_worker_local::{Hold, SeatState, Status};
use serde_json::Value;

use crate::events::{Kind, Message};
use crate::function::Answer;
use crate::queue::{Entry, Place, Received};
use crate::world::World;

/// Acts on a response as Lambda does. Each record was told of once, truly, in the order of its reservation and
/// its group, and named in the response if and only if it is to come again.
pub fn of_a_response<'a>(
    world: &World,
    batch: &'a [Received],
    answer: &'a Answer,
) -> Vec<(&'a Received, &'a Value)> {
    let named = answer.response["batchItemFailures"].as_array().unwrap().iter();
    let named: Vec<_> = named.map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
    let ids: Vec<_> = batch.iter().map(Received::message_id).collect();
    let in_order: Vec<_> = ids.iter().map(String::as_str).filter(|id| named.contains(id)).collect();
    assert_eq!(named, in_order, "the response names records of its batch, once, in order");

    let mut queue = world.queue.lock().unwrap();
    let (mut last_told, mut stopped_groups) = (HashMap::new(), HashSet::new());
    let told = batch.iter().map(|received| {
        let id = received.message_id();
        let mut lines = answer.told.iter().enumerate().filter(|(_, line)| line["message_id"] == *id);
        let (turn, line) = lines.next().unwrap_or_else(|| panic!("{id} is not told of"));
        assert_eq!(lines.next(), None, "{id} is told of twice");
        let entry = &mut queue.entries[received.number];
        let Message { kind, reservation_id, group, .. } = &entry.message;
        let lane = (*kind != Kind::Poison).then(|| ("reservation", reservation_id.clone()));
        let group = world.plan.is_fifo.then(|| ("group", group.clone()));
        for name in lane.into_iter().chain(group.clone()) {
            let is_next = last_told.insert(name.clone(), turn).is_none_or(|before| before < turn);
            assert!(is_next, "{id} is told of before its turn in {name:?}");
        }
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let (outcome, reason) = (text("outcome"), text("reason"));
        let acknowledged = !named.contains(&&*id);
        let may_be = may_be(world, entry, &outcome, &reason);
        assert_eq!(may_be, Some(acknowledged), "{id} {:?} is {outcome}, {reason}", entry.message);
        if let Some(group) = group {
            assert!(!acknowledged || !stopped_groups.contains(&group), "{id} overtakes in its group");
            let comes_again = !acknowledged && received.receives < world.plan.max_receives;
            stopped_groups.extend(comes_again.then_some(group));
        }
        queue.entries[received.number].told = Some((outcome, reason));
        if acknowledged {
            queue.delete(received);
        }
        (received, line)
    });
    told.collect()
}

/// Whether such an outcome is acknowledged; `None` if it cannot be true.
fn may_be(world: &World, entry: &Entry, outcome: &str, reason: &str) -> Option<bool> {
    let message = &entry.message;
    let status = world.services.reservation(&message.reservation_id).map(|reservation| reservation.status);
    let seats = world.services.seat_state(&message.reservation_id);
    let (is_true, acknowledged) = match outcome {
        "success" => (
            message.kind.wants().is_some_and(|wants| (status, seats) == (Some(wants.0), Some(wants.1))),
            true,
        ),
        "superseded" => (is_superseded(message.kind, status?), true),
        "ignored" => (message.kind == Kind::Underway, true),
        "invalid_payload" => (message.kind == Kind::Poison, false),
        "failed" => (is_rejected(message.kind, status, reason), false),
        "retried" => (!message.is_easy && !is_final(reason), false),
        "deferred" => (!message.is_easy, false),
        _ => (false, false),
    };
    (is_true && !reason.is_empty()).then_some(acknowledged)
}

fn is_superseded(kind: Kind, status: Status) -> bool {
    match kind {
        Kind::Expired => matches!(status, Status::Confirmed | Status::Cancelled),
        Kind::Failed => status == Status::Expired,
        _ => false,
    }
}

/// Rejected for what the reservation is, or by a reply that the contract calls final.
fn is_rejected(kind: Kind, status: Option<Status>, reason: &str) -> bool {
    match reason {
        "paid but cancelled: refund due" => (kind, status) == (Kind::Approved, Some(Status::Cancelled)),
        "paid but expired: refund due" => (kind, status) == (Kind::Approved, Some(Status::Expired)),
        "failed payment of a confirmed reservation" => {
            (kind, status) == (Kind::Failed, Some(Status::Confirmed))
        }
        // The weather has replies of `{}`.
        "neither the event nor the reservation names event and seats" => kind.wants().is_some(),
        _ => (kind == Kind::Stray || kind.wants().is_some()) && is_final(reason),
    }
}

fn is_final(reason: &str) -> bool {
    let said = reason.split_once(": ").map_or("", |(_, said)| said);
    let word = |word: &str| said.split([' ', ',']).any(|found| found == word);
    let is_status = said.get(..3).and_then(|status| status.parse().ok()).is_some_and(|status: u16| {
        (400..500).contains(&status) && ![401, 403, 408, 409, 412, 425, 429].contains(&status)
    });
    let codes =
        ["InvalidArgument", "NotFound", "FailedPrecondition", "OutOfRange", "Unimplemented", "DataLoss"];
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
    is_status
        || codes.into_iter().any(word)
        || error_codes.iter().any(|code| word(&format!("ERROR_CODE_{code}")))
        || commit_failed.iter().any(|status| word(&format!("COMMIT_STATUS_{status}")))
}

/// # Errors
///
/// The invariant that is broken.
pub fn at_the_end(world: &World) -> Result<(), String> {
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
        let about_it = || queue.entries.iter().filter(|entry| entry.message.reservation_id == *id);
        let dead = |status| {
            let asks = |entry: &&Entry| entry.message.kind.wants().is_some_and(|wants| wants.0 == status);
            about_it().filter(asks).any(|entry| entry.place == Place::DeadLetters)
        };
        let settled = match (status, seats) {
            (Status::Confirmed, SeatState::Sold) => true,
            (Status::Expired | Status::Cancelled, SeatState::Available) => true,
            (Status::Confirmed | Status::Expired | Status::Cancelled, SeatState::Hold) => dead(status),
            // Whatever was to end it is dead.
            (Status::Hold, SeatState::Hold) => about_it()
                .all(|entry| entry.message.kind.wants().is_none() || entry.place == Place::DeadLetters),
            _ => false,
        };
        if !settled {
            return Err(format!("{id} is {status:?}, its seats are {seats:?}"));
        }
    }
    for (number, entry) in queue.entries.iter().enumerate() {
        // What was deleted was acknowledged, and that was looked into; what is left must have a reason.
        let is_excused = entry.told.is_some() || entry.killed == entry.receives;
        if entry.place == Place::DeadLetters && !is_excused {
            return Err(format!("m{number} is dead, and the function never told why"));
        }
        if entry.message.is_easy && entry.place != Place::Deleted {
            return Err(format!("m{number} was easy, and is dead: {:?}", entry.told));
        }
    }
    Ok(())
}
