//! The invariants of contract section 1, checked after a burst. An event in the dead-letter queue violates none of
//! them: a person must complete it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use reservation_worker_local::{SeatState, Status};

use crate::burst::Burst;
use crate::options::Failure;
use crate::pipeline::Pipeline;

/// What the check after a burst has found.
pub(super) struct Findings {
    /// The number of dead letters by reason code.
    pub(super) dead: BTreeMap<String, usize>,
    /// A description of each violation of an invariant, and of each event that was not completed.
    pub(super) violations: Vec<String>,
}

pub(super) async fn check(pipeline: &Pipeline, burst: &Burst) -> Result<Findings, Failure> {
    let lines = pipeline.mapping.log_lines();
    let summaries = lines.iter().filter(|line| line["outcome"].is_string());
    let last: HashMap<_, _> =
        summaries.map(|line| (line["message_id"].as_str().unwrap_or_default(), line)).collect();
    let field = |id: &str, name: &str| last.get(id)?[name].as_str().map(str::to_owned);
    let mut dead = BTreeMap::<String, usize>::new();
    let mut dead_reservations = HashSet::new();
    for (message_id, ..) in pipeline.queue.dead_letters().await? {
        let reason = field(&message_id, "reason_code").unwrap_or_else(|| "unknown reason".to_owned());
        *dead.entry(reason).or_default() += 1;
        dead_reservations.extend(field(&message_id, "reservation_id"));
    }
    let mut violations = Vec::new();
    let mut sold = HashMap::new();
    for hold in &burst.holds {
        let id = &hold.reservation_id;
        let status = pipeline.services.reservation(id).map(|reservation| reservation.status);
        let expected = burst.expected.get(id).copied();
        let is_dead = dead_reservations.contains(id);
        if status != expected && !is_dead {
            let (status, expected) = (name(status), name(expected));
            violations.push(format!("{id}: the status is {status}, its event requires {expected}"));
        }
        let seats = pipeline.services.seat_state(id);
        let consistent = match status {
            Some(Status::Confirmed) => seats == Some(SeatState::Sold),
            Some(Status::Expired | Status::Cancelled) => seats == Some(SeatState::Available),
            Some(Status::Hold) | None => false,
        };
        if !consistent && !is_dead {
            let (status, seats) = (name(status), name(seats));
            violations.push(format!("{id}: the status is {status}, the state of its seats is {seats}"));
        }
        for (seat_id, state) in pipeline.services.seats(id) {
            // The seats of a quantity-based hold have no real ids.
            if seat_id.starts_with('#') || state != SeatState::Sold {
                continue;
            }
            if let Some(other) = sold.insert((&hold.event_id, seat_id.clone()), id) {
                violations.push(format!("seat {seat_id} is sold to {other} and to {id}"));
            }
        }
    }
    let (visible, not_visible) = pipeline.queue.depth().await?;
    if visible + not_visible > 0 {
        violations.push(format!("{} messages are still in the queue", visible + not_visible));
    }
    Ok(Findings { dead, violations })
}

/// The name of an enumeration's variant, or `none`.
fn name(variant: Option<impl Debug>) -> String {
    variant.map_or_else(|| "none".to_owned(), |variant| format!("{variant:?}"))
}
