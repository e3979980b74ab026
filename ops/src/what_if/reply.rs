//! What the error of a read says about the calls that the worker would make.
//!
//! An error of the connection or of the credentials says nothing: this machine is not the worker. A temporary error says
//! nothing either: the worker makes its calls for 20 minutes and more until one succeeds.

use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::reservation::Ending;
use reservation_worker::services::reservation_api::Error;
use tonic::Status;

use crate::prediction::Verdict;

/// `requested` is how the event wants the reservation to end.
pub(super) fn of_reservation_api(error: &Error, requested: Ending) -> Verdict {
    let Error::Refused(refusal) = error else {
        return Verdict::cannot_tell(error.to_string());
    };
    if let Some(found) = refusal.ending() {
        return Verdict::of_ending(requested, found)
            .unwrap_or_else(|| Verdict::cannot_tell(error.to_string()));
    }
    match error.class() {
        ErrorClass::Rejected => Verdict::fails(error.reason(), error.to_string()),
        ErrorClass::Transient { .. } | ErrorClass::Unavailable { .. } => {
            Verdict::cannot_tell(format!("the API replied {refusal} just now"))
        }
        _ => Verdict::cannot_tell(error.to_string()),
    }
}

pub(super) fn of_inventory(status: &Status) -> Verdict {
    Verdict::cannot_tell(format!("inventory: {:?} just now", status.code()))
}
