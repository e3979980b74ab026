//! The types of events that the worker understands.

use strum::{EnumMessage, IntoStaticStr, VariantArray};

/// The type of an event. An alias is read as the type that it names.
///
/// The documentation of the variants is part of `docs/architecture.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
pub enum EventType {
    /// A hold ended without a payment. Also sent as `reservation.hold.expired`. The status becomes `EXPIRED` and the
    /// seats are released.
    #[strum(serialize = "reservation.expired")]
    ReservationExpired,
    /// The payment of a reservation was approved. Also sent as `Payment Status Updated` with the status
    /// `PAYMENT_STATUS_COMPLETED` or `PAYMENT_STATUS_APPROVED`. The status becomes `CONFIRMED` and the seats are
    /// sold.
    #[strum(serialize = "payment.approved")]
    PaymentApproved,
    /// The payment of a reservation failed. Also sent as `Payment Status Updated` with the status
    /// `PAYMENT_STATUS_FAILED`, `PAYMENT_STATUS_CANCELLED` or `PAYMENT_STATUS_EXPIRED`. The status becomes
    /// `CANCELLED` and the seats are released.
    #[strum(serialize = "payment.failed")]
    PaymentFailed,
    /// A payment status that needs no work: `Payment Status Updated` with the status `PAYMENT_STATUS_PENDING`,
    /// `PAYMENT_STATUS_PROCESSING` or `PAYMENT_STATUS_REFUNDED`.
    #[strum(serialize = "payment.status_updated")]
    PaymentStatusUpdated,
    /// A hold was created. Needs no work.
    #[strum(serialize = "reservation.hold.created")]
    ReservationHoldCreated,
    /// A reservation was created. Needs no work.
    #[strum(serialize = "reservation.created")]
    ReservationCreated,
    /// A reservation was confirmed. Needs no work.
    #[strum(serialize = "reservation.confirmed")]
    ReservationConfirmed,
    /// A scheduled event which shows that events reach the worker. Needs no work, and is counted as
    /// `worker_heartbeat`.
    #[strum(serialize = "worker.heartbeat")]
    WorkerHeartbeat,
}

impl EventType {
    /// The label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether no event of this type needs work, so that it needs no facts either.
    pub(super) fn never_needs_work(self) -> bool {
        match self {
            Self::ReservationHoldCreated
            | Self::ReservationCreated
            | Self::ReservationConfirmed
            | Self::WorkerHeartbeat => true,
            Self::ReservationExpired
            | Self::PaymentApproved
            | Self::PaymentFailed
            | Self::PaymentStatusUpdated => false,
        }
    }
}
