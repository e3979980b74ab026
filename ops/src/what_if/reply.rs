//! What the error of a read by this tool says about the calls that the worker would make.
//!
//! An error of the connection or of the credentials says nothing, because this machine is not the worker. A temporary
//! error says nothing either, because the worker keeps trying: for more than 20 minutes if the reply is 503, and
//! usually for less than a minute if it is 500 or 429.

use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::reservation::Ending;
use reservation_worker::services::reservation_api::Error;
use tonic::Status;

use crate::prediction::Verdict;

/// The verdict after an error of the reservation API. `requested` is the ending that the event requests.
pub(super) fn of_reservation_api(error: &Error, requested: Ending) -> Verdict {
    let Error::Refused(refusal) = error else {
        return Verdict::cannot_tell(error.to_string());
    };
    if let Some(found) = refusal.ending() {
        return Verdict::of_ending(requested, found)
            .unwrap_or_else(|| Verdict::cannot_tell(error.to_string()));
    }
    match error.class() {
        ErrorClass::Rejected => Verdict::fails(error.reason_code(), error.to_string()),
        ErrorClass::Transient { .. } | ErrorClass::Unavailable { .. } => {
            Verdict::cannot_tell(format!("the reservation API replied {refusal} to this tool"))
        }
        _ => Verdict::cannot_tell(error.to_string()),
    }
}

/// The verdict after an error of the inventory.
pub(super) fn of_inventory(status: &Status) -> Verdict {
    Verdict::cannot_tell(format!("the inventory replied {:?} to this tool", status.code()))
}
