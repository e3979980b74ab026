//! Outages: a service fails all calls in the same way.

use reservation_worker_local::{Effect, Fault, Operation, Service};
use strum::VariantArray;

use super::replies::html;

/// How a service fails all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum OutageMode {
    /// Connections end as soon as they are accepted.
    RefusesConnections,
    Hangs,
    /// 503, or gRPC `UNAVAILABLE`.
    Unavailable,
    /// 401, or gRPC `UNAUTHENTICATED`.
    Denied,
    /// 404 without an error of the API, or gRPC `UNIMPLEMENTED`.
    WrongAddress,
}

impl OutageMode {
    /// The faults of all operations of a service that accepts connections.
    pub fn faults(self, service: Service) -> Vec<Fault> {
        let (rest, grpc) = match self {
            Self::RefusesConnections => return Vec::new(),
            Self::Hangs => (Effect::Hang, Effect::Hang),
            Self::Unavailable => (Effect::http(503), Effect::grpc(14)),
            Self::Denied => (Effect::http(401), Effect::grpc(16)),
            Self::WrongAddress => (html(404), Effect::grpc(12)),
        };
        let (operations, effect) = match service {
            Service::ReservationApi => ([Operation::UpdateStatus, Operation::ReadReservation], rest),
            Service::Inventory => ([Operation::ReleaseHold, Operation::CommitReservation], grpc),
        };
        operations.map(|operation| Fault::any(operation, effect.clone())).into()
    }
}
