//! The types, shapes and spellings of events (contract section 2).

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use fastrand::Rng;
use reservation_worker::event::{self, EventType};
use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::Kind;

/// How an event is written.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The name of its type, or its payment status.
    name: &'static str,
    shape: Shape,
    spelling: Spelling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
enum Shape {
    EventBridge,
    Envelope,
    Flat,
    Bare,
    /// Of the payment simulator.
    Simulator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
enum Spelling {
    SnakeCase,
    CamelCase,
    /// Both, and they agree.
    Both,
}

/// The names of facts that have another name in `camelCase`.
const SPELLINGS: [(&str, &str); 8] = [
    ("reservation_id", "reservationId"),
    ("event_id", "eventId"),
    ("seat_ids", "seatIds"),
    ("user_id", "userId"),
    ("payment_intent_id", "paymentIntentId"),
    ("payment_id", "paymentId"),
    ("error_code", "errorCode"),
    ("error_message", "errorMessage"),
];

impl Form {
    /// All forms of the events of a kind.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        let (names, statuses): (&[_], &[_]) = match kind {
            Kind::Expired => (&["reservation.expired", "reservation.hold.expired"], &[]),
            Kind::Approved => {
                (&["payment.approved"], &["PAYMENT_STATUS_COMPLETED", "PAYMENT_STATUS_APPROVED"])
            }
            Kind::Failed => (
                &["payment.failed"],
                &["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_CANCELLED", "PAYMENT_STATUS_EXPIRED"],
            ),
            Kind::NoWork => (
                &[
                    "reservation.hold.created",
                    "reservation.created",
                    "reservation.confirmed",
                    "worker.heartbeat",
                ],
                &["PAYMENT_STATUS_PENDING", "PAYMENT_STATUS_PROCESSING", "PAYMENT_STATUS_REFUNDED"],
            ),
            Kind::Poison | Kind::UnknownReservation => (&[], &[]),
        };
        Shape::VARIANTS.iter().flat_map(move |shape| {
            let names = if *shape == Shape::Simulator { statuses } else { names };
            names.iter().flat_map(move |name| {
                let form = |spelling: &Spelling| Self { name, shape: *shape, spelling: *spelling };
                Spelling::VARIANTS.iter().map(form)
            })
        })
    }

    /// What the trace lines of all forms contain: each name with each of its shapes, and each shape with each spelling.
    pub fn all_texts() -> Vec<String> {
        let forms = Kind::WORK.into_iter().chain([Kind::NoWork]).flat_map(Self::of);
        let texts = forms.flat_map(|Self { name, shape, spelling }| {
            [format!(", {name} as {shape:?} in"), format!(" as {shape:?} in {spelling:?}")]
        });
        texts.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// A form at random; `None` if the kind has none.
    pub fn draw(rng: &mut Rng, kind: Kind) -> Option<Self> {
        rng.choice(Self::of(kind).collect::<Vec<_>>())
    }

    pub fn is_payment_status(self) -> bool {
        self.shape == Shape::Simulator
    }

    /// What the worker reads an event of this form as.
    pub fn event_type(self) -> EventType {
        let facts = json!({ "reservation_id": "r1", "payment_intent_id": "pay_1" });
        let body = self.body(&mut Rng::with_seed(0), facts, None);
        event::parse(Some(&body)).unwrap().event.event_type()
    }

    /// The body with these facts and this trace id.
    pub fn body(self, rng: &mut Rng, mut facts: Value, trace_id: Option<&str>) -> String {
        if self.is_payment_status() {
            let facts = facts.as_object_mut().unwrap();
            facts.remove("payment_intent_id");
            facts.insert("payment_id".to_owned(), "pay_1".into());
        }
        let mut facts = self.spelled(&facts);
        let time = "2026-11-22T02:48:54Z";
        let mut body = json!({ "id": format!("evt-{:08x}", rng.u32(..)), "source": "simulation" });
        if let Some(trace_id) = trace_id {
            body["trace_id"] = trace_id.into();
        }
        let name = if self.is_payment_status() { "Payment Status Updated" } else { self.name };
        let more = match self.shape {
            Shape::Envelope => json!({ "type": name, "time": time, "detail": facts }),
            Shape::EventBridge | Shape::Simulator => {
                if self.is_payment_status() {
                    let payment = json!({ "event_type": "payment.status_updated", "status": self.name });
                    facts.extend(object(payment));
                    facts.extend(object(
                        json!({ "amount": 240_000, "currency": "KRW", "timestamp": 1_795_315_475 }),
                    ));
                }
                json!({
                    "version": "0", "detail-type": name, "account": "123456789012", "time": time,
                    "region": "ap-northeast-2", "resources": [], "detail": facts,
                })
            }
            Shape::Flat => {
                let is_id =
                    |name: &str| SPELLINGS[..2].iter().any(|(snake, camel)| [*snake, *camel].contains(&name));
                let (mut flat, payload): (Map<_, _>, Map<_, _>) =
                    facts.into_iter().partition(|(name, _)| is_id(name));
                flat.extend(object(json!({ "type": name, "ts": time, "payload": payload })));
                flat.into()
            }
            Shape::Bare => {
                facts.insert("type".to_owned(), name.into());
                facts.into()
            }
        };
        body.as_object_mut().unwrap().extend(object(more));
        body.to_string()
    }

    fn spelled(self, facts: &Value) -> Map<String, Value> {
        let facts = facts.as_object().unwrap().iter().flat_map(|(name, value)| {
            let camel = SPELLINGS.iter().find(|(snake, _)| snake == name).map(|(_, camel)| *camel);
            let names = match (self.spelling, camel) {
                (Spelling::SnakeCase, _) | (_, None) => vec![name.as_str()],
                (Spelling::CamelCase, Some(camel)) => vec![camel],
                (Spelling::Both, Some(camel)) => vec![name, camel],
            };
            names.into_iter().map(|name| (name.to_owned(), value.clone()))
        });
        facts.collect()
    }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { unreachable!("it is an object") };
    fields
}

impl Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {:?} in {:?}", self.name, self.shape, self.spelling)
    }
}
