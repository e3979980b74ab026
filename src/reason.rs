//! Why a record was returned: a closed set of codes, each with what a person is to do about it.

/// The code on the record's summary line, and a dimension of the dead letters' metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The customer paid after the hold had expired.
    PaidButExpired,
    /// The customer paid for a reservation that was cancelled.
    PaidButCancelled,
    /// A payment failed of a reservation that is confirmed.
    FailedPaymentOfConfirmed,
    /// Neither the event nor the reservation names the ticketed event and the seats.
    FactsMissing,
    /// The reservation API refuses the request.
    ReservationApiRejected,
    /// The inventory refuses to sell the seats.
    CommitRejected,
    /// The inventory refuses to take the seats back.
    ReleaseRejected,
    /// The reservation API did not do its work, or was not called because it did not a moment ago.
    ReservationApiUnavailable,
    /// The inventory did not do its work, or was not called because it did not a moment ago.
    InventoryUnavailable,
    /// The reservation API refuses the worker itself: 401 or 403.
    ReservationApiDenied,
    /// The inventory refuses the worker itself.
    InventoryDenied,
    /// The reservation API has not seen the payment yet: 412.
    PaymentNotSeen,
    /// The status cannot be changed, and the reservation has not ended.
    ReservationConflict,
    /// The worker panicked.
    Panicked,
    /// The function's time was up.
    NoTime,
    /// An earlier record of the FIFO message group was returned.
    GroupBlocked,
    /// The body was not understood.
    InvalidPayload,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 17] = [
        Self::PaidButExpired,
        Self::PaidButCancelled,
        Self::FailedPaymentOfConfirmed,
        Self::FactsMissing,
        Self::ReservationApiRejected,
        Self::CommitRejected,
        Self::ReleaseRejected,
        Self::ReservationApiUnavailable,
        Self::InventoryUnavailable,
        Self::ReservationApiDenied,
        Self::InventoryDenied,
        Self::PaymentNotSeen,
        Self::ReservationConflict,
        Self::Panicked,
        Self::NoTime,
        Self::GroupBlocked,
        Self::InvalidPayload,
    ];

    /// The code as logs and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaidButExpired => "paid_but_expired",
            Self::PaidButCancelled => "paid_but_cancelled",
            Self::FailedPaymentOfConfirmed => "failed_payment_of_confirmed",
            Self::FactsMissing => "facts_missing",
            Self::ReservationApiRejected => "reservation_api_rejected",
            Self::CommitRejected => "commit_rejected",
            Self::ReleaseRejected => "release_rejected",
            Self::ReservationApiUnavailable => "reservation_api_unavailable",
            Self::InventoryUnavailable => "inventory_unavailable",
            Self::ReservationApiDenied => "reservation_api_denied",
            Self::InventoryDenied => "inventory_denied",
            Self::PaymentNotSeen => "payment_not_seen",
            Self::ReservationConflict => "reservation_conflict",
            Self::Panicked => "panicked",
            Self::NoTime => "no_time",
            Self::GroupBlocked => "group_blocked",
            Self::InvalidPayload => "invalid_payload",
        }
    }

    /// What a person is to do once the record is a dead letter.
    pub fn advice(self) -> &'static str {
        match self {
            Self::PaidButExpired | Self::PaidButCancelled => {
                "refund the payment: the reservation has ended; then delete the message"
            }
            Self::FailedPaymentOfConfirmed => {
                "find the payment that confirmed the reservation; if there is none, cancel it; then delete the message"
            }
            Self::FactsMissing => {
                "the status is set and the seats are not: settle them in the inventory by hand, or mend the \
                 reservation and redrive"
            }
            Self::ReservationApiRejected => {
                "look the refusal up in the reservation API's log; mend the reservation and redrive, or delete"
            }
            Self::CommitRejected => {
                "paid and confirmed without seats: give the customer other seats or a refund; then delete the message"
            }
            Self::ReleaseRejected => {
                "seats are still held for a reservation that has ended: release them by hand, then delete the message"
            }
            Self::ReservationApiUnavailable => "redrive when the reservation API is well",
            Self::InventoryUnavailable => "redrive when the inventory is well",
            Self::ReservationApiDenied => {
                "mend RESERVATION_API_TOKEN or the API's access rules, then redrive"
            }
            Self::InventoryDenied => "mend the inventory's access rules, then redrive",
            Self::PaymentNotSeen => {
                "compare the payment with the reservation API's view of it; redrive when the API has seen it"
            }
            Self::ReservationConflict => {
                "look at the reservation: it can neither be ended nor has it ended; then redrive"
            }
            Self::Panicked => {
                "a defect of the worker: report it with this line and the line `panicked`; redrive after the fix"
            }
            Self::NoTime => "give the function a longer time-out or a smaller batch, then redrive",
            Self::GroupBlocked => {
                "mend the dead letter before it in its message group, then redrive both in order"
            }
            Self::InvalidPayload => {
                "mend the producer of the event; send the event again as it should be, then delete the message"
            }
        }
    }
}
