//! The places in which a record carries the trace of its producer (contract section 8).

use fastrand::Rng;
use serde_json::{Value, json};
use strum::VariantArray;

/// A place, in the order in which the worker looks for a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Carrier {
    /// The message attribute `traceparent`.
    Traceparent,
    /// The system attribute `AWSTraceHeader`.
    TraceHeader,
    /// The message attribute `TraceId`.
    TraceIdAttribute,
    /// `trace_id` in the body.
    Body,
}

/// The trace ids of a record, each of 32 hexadecimal digits.
#[derive(Debug, Clone)]
pub struct Carriers(Vec<(Carrier, String)>);

impl Carriers {
    pub fn draw(rng: &mut Rng) -> Self {
        let carriers = Carrier::VARIANTS.iter().filter(|_| rng.u8(..4) == 0);
        let carriers: Vec<_> = carriers.copied().collect();
        Self(carriers.into_iter().map(|carrier| (carrier, format!("{:032x}", rng.u128(1..)))).collect())
    }

    pub fn remove(&mut self, carrier: Carrier) {
        self.0.retain(|(other, _)| *other != carrier);
    }

    pub fn get(&self, carrier: Carrier) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == carrier).map(|(_, id)| id.as_str())
    }

    /// The carrier that the worker uses, and the trace id.
    pub fn first(&self) -> Option<&(Carrier, String)> {
        self.0.first()
    }

    /// Adds the attributes to a record.
    pub fn add_to(&self, record: &mut Value) {
        let text = |value: String| json!({ "stringValue": value, "dataType": "String" });
        for (carrier, id) in &self.0 {
            match carrier {
                Carrier::Traceparent => {
                    record["messageAttributes"]["traceparent"] = text(format!("00-{id}-00f067aa0ba902b7-01"));
                }
                Carrier::TraceHeader => {
                    let header =
                        format!("Root=1-{}-{};Parent=53995c3f42cd8ad8;Sampled=1", &id[..8], &id[8..]);
                    record["attributes"]["AWSTraceHeader"] = header.into();
                }
                Carrier::TraceIdAttribute => record["messageAttributes"]["TraceId"] = text(id.clone()),
                Carrier::Body => {}
            }
        }
    }
}
