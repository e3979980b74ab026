//! Faults: which calls they affect, and in which order they apply.

mod catalogue;
mod check;
mod effect;

pub use catalogue::{Catalogue, EffectEntry, OperationEntry};
pub use effect::Effect;

use serde::{Deserialize, Serialize};

use crate::calls::{Operation, Service};

/// A fault changes what happens to calls of the services' operations. At most one fault affects a call: the
/// first one that was added and that matches the call. A fault in JSON that could never affect a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "check::UncheckedFault")]
pub struct Fault {
    /// The service whose calls are affected. `None`: both services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The operation whose calls are affected. `None`: every operation that uses the protocol of the effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The reservation whose calls are affected. `None`: every reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    /// The number of calls that are affected. `None`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens to an affected call.
    pub effect: Effect,
}

impl Fault {
    /// A fault that affects every call of this operation for one reservation.
    pub fn on(operation: Operation, reservation_id: &str, effect: Effect) -> Self {
        Self { reservation_id: Some(reservation_id.to_owned()), ..Self::any(operation, effect) }
    }

    /// A fault that affects every call of this operation.
    pub fn any(operation: Operation, effect: Effect) -> Self {
        Self { operation: Some(operation), ..Self::of_both_services(effect) }
    }

    /// A fault that affects every call of this service.
    pub fn of_service(service: Service, effect: Effect) -> Self {
        Self { service: Some(service), ..Self::of_both_services(effect) }
    }

    /// A fault that affects every call for which its effect is possible.
    pub fn of_both_services(effect: Effect) -> Self {
        Self { service: None, operation: None, reservation_id: None, times: None, effect }
    }

    /// Limits the fault to the next `times` matching calls.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    fn matches(&self, operation: Operation, reservation_id: &str) -> bool {
        self.service.is_none_or(|affected| affected == operation.service())
            && self.operation.is_none_or(|affected| affected == operation)
            && self.reservation_id.as_deref().is_none_or(|affected| affected == reservation_id)
            && self.effect.is_possible_for(operation.service())
    }
}

/// The faults that are not used up, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Copies of all faults.
    pub(crate) fn all(&self) -> Vec<Fault> {
        self.0.clone()
    }

    /// Removes the faults that name this service.
    pub(crate) fn end(&mut self, service: Service) {
        self.0.retain(|fault| fault.service != Some(service));
    }

    /// The number of faults whose `times` is set and not used up.
    pub(crate) fn unused(&self) -> usize {
        self.0.iter().filter(|fault| fault.times.is_some_and(|times| times > 0)).count()
    }

    /// The effect of the first fault that matches this call. Reduces the `times` of that fault by one.
    pub(crate) fn next_effect(&mut self, operation: Operation, reservation_id: &str) -> Option<Effect> {
        let fault = self
            .0
            .iter_mut()
            .find(|fault| fault.times != Some(0) && fault.matches(operation, reservation_id))?;
        fault.times = fault.times.map(|times| times - 1);
        let effect = fault.effect.clone();
        self.0.retain(|fault| fault.times != Some(0));
        Some(effect)
    }
}
