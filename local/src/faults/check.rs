//! Which faults are refused: those that could never affect a call.

use serde::Deserialize;

use super::{Effect, Fault};
use crate::calls::{Operation, Service};

/// A fault as it was written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UncheckedFault {
    service: Option<Service>,
    operation: Option<Operation>,
    reservation_id: Option<String>,
    times: Option<u32>,
    effect: Effect,
}

/// The reason why a fault could never affect a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FaultRefused {
    #[error("`times` is 0, so the fault would affect no call")]
    NoCalls,
    #[error("`{0}` is not called for a reservation, so `reservation_id` would match no call")]
    NoReservation(&'static str),
    #[error("the effect `{effect}` does not exist in the protocol of the operation `{operation}`")]
    OtherProtocol { effect: &'static str, operation: &'static str },
    #[error("the effect `{effect}` does not exist in the protocol of the service `{service}`")]
    OtherService { effect: &'static str, service: &'static str },
    #[error("the service `{service}` does not have the operation `{operation}`")]
    OperationOfOther { operation: &'static str, service: &'static str },
    #[error("`status` is {0}, but an HTTP status of a reply is 200 to 599")]
    HttpStatus(u16),
    #[error("`code` is {0}, but a gRPC status code is 0 to 16")]
    GrpcCode(i32),
}

impl TryFrom<UncheckedFault> for Fault {
    type Error = FaultRefused;

    fn try_from(unchecked: UncheckedFault) -> Result<Self, FaultRefused> {
        let UncheckedFault { service, operation, reservation_id, times, effect } = unchecked;
        effect.check()?;
        if times == Some(0) {
            return Err(FaultRefused::NoCalls);
        }
        if let Some(service) = service {
            if let Some(other) = operation.filter(|operation| operation.service() != service) {
                return Err(FaultRefused::OperationOfOther {
                    operation: other.name(),
                    service: service.name(),
                });
            }
            if !effect.is_possible_for(service) {
                return Err(FaultRefused::OtherService { effect: effect.name(), service: service.name() });
            }
        }
        if let Some(operation) = operation {
            if reservation_id.is_some() && operation == Operation::CheckAvailability {
                return Err(FaultRefused::NoReservation(operation.name()));
            }
            if !effect.is_possible_for(operation.service()) {
                return Err(FaultRefused::OtherProtocol {
                    effect: effect.name(),
                    operation: operation.name(),
                });
            }
        }
        Ok(Self { service, operation, reservation_id, times, effect })
    }
}

impl Effect {
    fn check(&self) -> Result<(), FaultRefused> {
        match self {
            Self::Http { status, .. } | Self::HttpBody { status, .. } if !(200..=599).contains(status) => {
                Err(FaultRefused::HttpStatus(*status))
            }
            Self::Grpc { code } if !(0..=16).contains(code) => Err(FaultRefused::GrpcCode(*code)),
            Self::DoneThen { effect } => effect.check(),
            _ => Ok(()),
        }
    }
}
