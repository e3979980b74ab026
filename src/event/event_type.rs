//! The types of events that the worker understands.

use strum::{EnumMessage, IntoStaticStr, VariantArray};

/// The type of an event. Aliases are folded into the type that they mean.
///
/// The documentation of the variants is part of `docs/telemetry.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumMessage, IntoStaticStr, VariantArray)]
pub enum EventType {
    /// A hold ended without a payment. Also sent as `reservation.hold.expired`.
    #[strum(serialize = "reservation.expired")]
    ReservationExpired,
    /// The payment of a reservation was approved.
    #[strum(serialize = "payment.approved")]
    PaymentApproved,
    /// The payment of a reservation failed.
    #[strum(serialize = "payment.failed")]
    PaymentFailed,
    /// The only type of the payment simulator, `Payment Status Updated`. Its status decides what the event means.
    #[strum(serialize = "payment.status_updated")]
    PaymentStatusUpdated,
}

impl EventType {
    /// The label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
