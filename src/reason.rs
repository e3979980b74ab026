//! Why a record was returned: a closed set of codes, each with the action that a person must take.

use strum::{EnumMessage, IntoStaticStr, VariantArray};

/// The `reason_code` of a record's summary line, and the dimension `reason` of the metric for dead letters.
///
/// The documentation of the variants is part of `docs/telemetry.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The customer paid after the hold had expired.
    PaidButExpired,
    /// The customer paid for a reservation that had been cancelled.
    PaidButCancelled,
    /// A payment failed, but its reservation is confirmed.
    FailedPaymentOfConfirmed,
    /// The ticketed event or the seats are missing: neither the event nor the reservation contains them.
    FactsMissing,
    /// The reservation API rejected the request.
    ReservationApiRejected,
    /// The inventory refused to sell the seats.
    CommitRejected,
    /// The inventory refused to release the seats.
    ReleaseRejected,
    /// There was no connection to the reservation API, no reply in time, or a reply 502, 503 or 504.
    ReservationApiUnavailable,
    /// There was no connection to the inventory, no reply in time, or a reply that it is unavailable.
    InventoryUnavailable,
    /// The reservation API replied with a transient error, such as 429 or 500.
    ReservationApiError,
    /// The inventory replied with a transient error.
    InventoryError,
    /// The reservation API denied the worker access (401 or 403).
    ReservationApiDenied,
    /// The inventory denied the worker access (`UNAUTHENTICATED`, `PERMISSION_DENIED`, or an error code 1 to 3).
    InventoryDenied,
    /// `RESERVATION_API_BASE` does not lead to the reservation API: a redirect, or a 404 or 405 that is not an error of
    /// the API.
    ReservationApiWrongAddress,
    /// `INVENTORY_GRPC_ADDR` leads to a server that does not have the inventory service, such as an older deployment.
    InventoryWrongAddress,
    /// The reservation API has not seen the payment yet (402 or 412).
    PaymentNotSeen,
    /// The status cannot be changed, although the reservation has not ended.
    ReservationConflict,
    /// The worker panicked while it processed the record.
    Panicked,
    /// The time of the invocation had run out.
    NoTime,
    /// An earlier record of the FIFO message group will be delivered again.
    GroupBlocked,
    /// The body is not an event that the worker understands.
    InvalidPayload,
}

impl Reason {
    /// The code in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the deployment is wrong and not the record: a service denies access, or an address is not that of the
    /// service.
    pub fn is_misconfiguration(self) -> bool {
        matches!(
            self,
            Self::ReservationApiDenied
                | Self::InventoryDenied
                | Self::ReservationApiWrongAddress
                | Self::InventoryWrongAddress
        )
    }

    /// What a person must do when the record is in the dead-letter queue. The commands are those of `ops/`.
    pub fn advice(self) -> String {
        let code = self.as_str();
        let redrive = format!(
            "`dead-letters plan --action redrive --reason {code} --what-if`, then `dead-letters apply plan.json`"
        );
        // The message is selected by its id, because other messages with this reason may still wait for a person.
        let delete = format!(
            "`dead-letters plan --action delete --reason {code} --message ID`, then \
             `dead-letters apply plan.json --backup deleted.jsonl`"
        );
        match self {
            Self::PaidButExpired | Self::PaidButCancelled => format!(
                "Refund the payment, because the reservation has ended. Then delete the message: {delete}."
            ),
            Self::FailedPaymentOfConfirmed => format!(
                "Find the payment that confirmed the reservation. If there is none, cancel the reservation and have its \
                 seats released. Then delete the message: {delete}."
            ),
            Self::FactsMissing => format!(
                "The status of the reservation is set, but its seats are unchanged. Add what is missing to the \
                 reservation (`event_id` or seats) and redrive the message: {redrive}. Or change the seats in the \
                 inventory yourself and delete the message: {delete}."
            ),
            Self::ReservationApiRejected => format!(
                "Find the rejected request in the log of the reservation API. Correct the reservation and redrive the \
                 message: {redrive}. Or delete the message: {delete}."
            ),
            Self::CommitRejected => format!(
                "The reservation is paid and confirmed but has no seats. Give the customer other seats or a refund. Then \
                 delete the message: {delete}."
            ),
            Self::ReleaseRejected => format!(
                "The reservation has ended but its seats are still held. Release them in the inventory. Then delete the \
                 message: {delete}."
            ),
            Self::ReservationApiUnavailable | Self::ReservationApiError => {
                format!("Redrive the message when the reservation API works again: {redrive}.")
            }
            Self::InventoryUnavailable | Self::InventoryError => {
                format!("Redrive the message when the inventory works again: {redrive}.")
            }
            Self::ReservationApiWrongAddress => format!(
                "Correct RESERVATION_API_BASE, or the deployment that it leads to. Then redrive the message: {redrive}."
            ),
            Self::InventoryWrongAddress => format!(
                "Correct INVENTORY_GRPC_ADDR, or the deployment that it leads to. Then redrive the message: {redrive}."
            ),
            Self::ReservationApiDenied => format!(
                "Correct the token (`reservation_api_token` in the secret) or the access rules of the reservation API. \
                 Then redrive the message: {redrive}."
            ),
            Self::InventoryDenied => {
                format!("Correct the access rules of the inventory. Then redrive the message: {redrive}.")
            }
            Self::PaymentNotSeen => format!(
                "Compare the payment in the payment service with its record in the reservation API. When the API shows it \
                 as confirmed, redrive the message: {redrive}."
            ),
            Self::ReservationConflict => format!(
                "Look at the reservation: it has not ended, but its status cannot be changed. Correct it. Then redrive \
                 the message: {redrive}."
            ),
            Self::Panicked => format!(
                "Report a defect of the worker, with this log line and the log line `panicked`. After the fix, redrive \
                 the message: {redrive}."
            ),
            Self::NoTime => format!(
                "Give the function a longer time-out or a smaller batch size. Then redrive the message: {redrive}."
            ),
            Self::GroupBlocked => format!(
                "If an earlier message of the same message group is in the dead-letter queue too, resolve that one first. \
                 Then redrive the message: {redrive}."
            ),
            Self::InvalidPayload => format!(
                "Correct the producer of the event and have the correct event sent. Then delete the message: {delete}. A \
                 redriven message would return to the dead-letter queue, unless a new version of the worker understands \
                 it."
            ),
        }
    }
}
