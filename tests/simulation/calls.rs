//! Checks the calls to the services: the status is updated first, the seats are only changed in accordance
//! with the status, and every call has the right idempotency key (contract section 3).

use std::collections::HashSet;

use reservation_worker_local::{Call, Operation, Status};
use serde_json::Value;

use crate::world::World;

/// Checks all calls after the end of a run.
///
/// # Errors
///
/// The first call that should not have been made.
pub fn check(world: &World) -> Result<(), String> {
    let mut updated = HashSet::new();
    for call in world.services.calls() {
        let Call { operation, reservation_id: id, headers, body, .. } = &call;
        let status = world.services.reservation(id).map(|reservation| reservation.status);
        let text = |value: &Value| value.as_str().unwrap_or("missing").to_owned();
        let (key, expected_key, is_allowed) = match operation {
            Operation::UpdateStatus => {
                updated.insert(id.clone());
                let key = headers.get("idempotency-key").cloned().unwrap_or_default();
                (key, format!("{id}:{}", text(&body["status"])), true)
            }
            Operation::ReleaseHold => (
                text(&body["idempotency_key"]),
                format!("{id}:RELEASE"),
                match body["reason"].as_str() {
                    Some("EXPIRED") => status == Some(Status::Expired),
                    Some("FAILED_PAYMENT") => status == Some(Status::Cancelled),
                    _ => false,
                },
            ),
            Operation::CommitReservation => {
                (text(&body["idempotency_key"]), format!("{id}:COMMIT"), status == Some(Status::Confirmed))
            }
            Operation::ReadReservation | Operation::CheckAvailability => continue,
        };
        if key != expected_key {
            return Err(format!("{operation:?} of {id} has the key {key:?} instead of {expected_key:?}"));
        }
        // A status other than HOLD is final, so the status at the end of the run is that at the time of the
        // call.
        if !is_allowed || !updated.contains(id) {
            return Err(format!("{operation:?} of {id} is not allowed, its status is {status:?}: {body}"));
        }
    }
    Ok(())
}
