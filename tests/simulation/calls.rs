//! What the services may be asked: the status first, the seats only as the status says, and everything under
//! the keys that make twice once (contract section 3).

use std::collections::HashSet;

use reservation_worker_local::{Call, Operation, Status};
use serde_json::Value;

use crate::world::World;

/// # Errors
///
/// The first call that should not have been made.
pub fn at_the_end(world: &World) -> Result<(), String> {
    let mut asked_for_status = HashSet::new();
    for call in world.services.calls() {
        let Call { operation, reservation_id: id, headers, body, .. } = &call;
        let status = world.services.reservation(id).map(|reservation| reservation.status);
        let key = |key: &Value| key.as_str().unwrap_or("no key").to_owned();
        let (sent_key, right_key, in_turn) = match operation {
            Operation::UpdateStatus => {
                asked_for_status.insert(id.clone());
                let sent = headers.get("idempotency-key").cloned().unwrap_or_default();
                (sent, format!("{id}:{}", key(&body["status"])), true)
            }
            Operation::ReleaseHold => (
                key(&body["idempotency_key"]),
                format!("{id}:RELEASE"),
                match body["reason"].as_str() {
                    Some("EXPIRED") => status == Some(Status::Expired),
                    Some("FAILED_PAYMENT") => status == Some(Status::Cancelled),
                    _ => false,
                },
            ),
            Operation::CommitReservation => {
                (key(&body["idempotency_key"]), format!("{id}:COMMIT"), status == Some(Status::Confirmed))
            }
            Operation::ReadReservation | Operation::CheckAvailability => continue,
        };
        if sent_key != right_key {
            return Err(format!("{operation:?} of {id} has the key {sent_key:?}"));
        }
        // A status that is settled stays: what it is at the end it was when the seats were asked for.
        if !in_turn || !asked_for_status.contains(id) {
            return Err(format!("{operation:?} of {id}, which is {status:?}, is out of turn: {body}"));
        }
    }
    Ok(())
}
