//! What the three operations of the inventory service have in common.

use serde::Serialize;
use tonic::Status;

use crate::calls::Operation;
use crate::idempotency::IdempotencyKeyError;
use crate::proto::common::v1::{Error, ErrorCode, Seat, SeatStatus};
use crate::seats::Seats;

/// The request message of an operation.
pub(super) trait InventoryRequest: Serialize + Send + Sync {
    const OPERATION: Operation;
    const METHOD: &str;
    type Reply;

    fn reservation_id(&self) -> &str;

    /// Performs the operation. If the operation is not possible, the error is in the reply. If the request is
    /// invalid, the result is a gRPC status.
    fn perform(&self, seats: &mut Seats) -> Result<Self::Reply, Status>;

    /// A reply that contains only these two values.
    fn reply(status: i32, error: Option<Error>) -> Self::Reply;

    /// The name of the reply's status, and the reply's error.
    fn status_and_error(reply: &Self::Reply) -> (&'static str, Option<&Error>);
}

pub(super) fn error(code: ErrorCode, message: &str) -> Error {
    Error { code: code.into(), message: message.to_owned(), ..Error::default() }
}

pub(super) fn idempotency_key_error(cause: IdempotencyKeyError) -> Error {
    let code = match cause {
        IdempotencyKeyError::Missing => ErrorCode::IdempotencyRequired,
        IdempotencyKeyError::Conflict => ErrorCode::IdempotencyConflict,
    };
    error(code, &cause.to_string())
}

pub(super) fn seat_messages<'a>(
    seat_ids: impl IntoIterator<Item = &'a String>,
    status: SeatStatus,
) -> Vec<Seat> {
    let seat = |id: &String| Seat { id: id.clone(), status: status.into(), ..Seat::default() };
    seat_ids.into_iter().map(seat).collect()
}
