//! The faults that a person can request. `GET /faults` prints them, and `docs/local.md` contains them.

use serde::Serialize;
use strum::{EnumMessage, VariantArray};

use super::{Effect, Fault};
use crate::calls::{Operation, Service};

/// The operations and effects of which a fault can consist, and the faults that exist now.
#[derive(Debug, Serialize)]
pub struct Catalogue {
    /// The operations that can have faults.
    pub operations: Vec<OperationEntry>,
    /// The effects that a fault can have.
    pub effects: Vec<EffectEntry>,
    /// The faults that were added and are not used up. The first one that matches a call affects it.
    pub active: Vec<Fault>,
}

/// An operation that can have faults.
#[derive(Debug, Serialize)]
pub struct OperationEntry {
    /// The name, as in the field `operation` of a fault.
    pub operation: Operation,
    /// The service that has it.
    pub service: Service,
    /// The request.
    pub request: String,
}

/// An effect that a fault can have.
#[derive(Debug, Serialize)]
pub struct EffectEntry {
    /// A value for the field `effect` of a fault.
    pub example: Effect,
    /// The services whose calls can have the effect.
    pub services: Vec<Service>,
    /// What happens to the call.
    pub meaning: String,
}

impl Catalogue {
    /// All operations and effects, with these faults.
    pub fn new(active: Vec<Fault>) -> Self {
        let operations = Operation::VARIANTS.iter().map(|&operation| OperationEntry {
            operation,
            service: operation.service(),
            request: documentation(&operation),
        });
        let effects = examples().map(|example| EffectEntry {
            services: [Service::ReservationApi, Service::Inventory]
                .into_iter()
                .filter(|service| example.is_possible_for(*service))
                .collect(),
            meaning: documentation(&example),
            example,
        });
        Self { operations: operations.collect(), effects: effects.into(), active }
    }
}

/// One of each effect.
fn examples() -> [Effect; <Effect as strum::EnumCount>::COUNT] {
    let (content_type, body) = ("text/html".to_owned(), "<h1>Not Found</h1>".to_owned());
    [
        Effect::latency(500),
        Effect::Hang,
        Effect::Reset,
        Effect::http_code(503, "UNAVAILABLE"),
        Effect::HttpBody { status: 404, content_type: content_type.clone(), body: body.clone() },
        Effect::EmptyBody,
        Effect::Body { content_type, body },
        Effect::CamelCase,
        Effect::grpc(14),
        Effect::reply(1, None),
        Effect::done_then(Effect::Reset),
    ]
}

/// The documentation of a variant, on one line.
fn documentation(variant: &impl EnumMessage) -> String {
    let documentation = variant.get_documentation().unwrap_or_default();
    documentation.split_whitespace().collect::<Vec<_>>().join(" ")
}
