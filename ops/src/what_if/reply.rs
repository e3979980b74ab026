//! What the error of a read says about the calls that the worker would make.
//!
//! An error of the connection or of the credentials says nothing: this machine is not the worker.

use std::error::Error as _;

use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::reason::Reason;
use reservation_worker::services::reservation_api::Error;
use tonic::{Code, Status};

use crate::prediction::Verdict;

pub(super) fn of_reservation_api(error: &Error) -> Verdict {
    let replied = matches!(error, Error::Refused(_));
    match error.class() {
        ErrorClass::Rejected => Verdict::fails(error.reason(), error.to_string()),
        ErrorClass::Transient { .. } | ErrorClass::Unavailable { .. } if replied => {
            Verdict::fails(error.reason(), format!("{error}, now"))
        }
        _ => Verdict::cannot_tell(error.to_string()),
    }
}

pub(super) fn of_inventory(status: &Status) -> Verdict {
    // A status with a source was made by the client.
    let replied = status.source().is_none();
    let why = format!("inventory: {:?}", status.code());
    match status.code() {
        Code::Unavailable if replied => Verdict::fails(Reason::InventoryUnavailable, format!("{why}, now")),
        Code::Internal | Code::Unknown | Code::ResourceExhausted | Code::Aborted if replied => {
            Verdict::fails(Reason::InventoryError, format!("{why}, now"))
        }
        _ => Verdict::cannot_tell(why),
    }
}
