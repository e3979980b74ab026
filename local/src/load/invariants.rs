//! The invariants of contract section 1, checked after a burst.

use std::collections::HashMap;
use std::fmt::Debug;

use reservation_worker_local::{SeatState, Status};

use crate::burst::Burst;
use crate::options::Failure;
use crate::pipeline::Pipeline;

/// Returns a description of each violation.
pub(super) async fn violations(pipeline: &Pipeline, burst: &Burst) -> Result<Vec<String>, Failure> {
    let mut violations = Vec::new();
    let mut sold = HashMap::new();
    for hold in &burst.holds {
        let id = &hold.reservation_id;
        let status = pipeline.services.reservation(id).map(|reservation| reservation.status);
        let expected = burst.expected.get(id).copied();
        if status != expected {
            let (status, expected) = (name(status), name(expected));
            violations.push(format!("{id}: the status is {status}, its event requires {expected}"));
        }
        let seats = pipeline.services.seat_state(id);
        let consistent = match status {
            Some(Status::Confirmed) => seats == Some(SeatState::Sold),
            Some(Status::Expired | Status::Cancelled) => seats == Some(SeatState::Available),
            Some(Status::Hold) | None => false,
        };
        if !consistent {
            let (status, seats) = (name(status), name(seats));
            violations.push(format!("{id}: the status is {status}, the state of its seats is {seats}"));
        }
        for (seat_id, state) in pipeline.services.seats(id) {
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
    for (message_id, _, receives) in pipeline.queue.dead().await? {
        violations
            .push(format!("message {message_id} is in the dead-letter queue after {receives} receives"));
    }
    Ok(violations)
}

/// The name of an enumeration's variant, or `none`.
fn name(variant: Option<impl Debug>) -> String {
    variant.map_or_else(|| "none".to_owned(), |variant| format!("{variant:?}"))
}
