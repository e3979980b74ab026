//! Faults on request: which calls they strike, and what happens to those.

use std::future::pending;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::{Arrived, Operation, Service};
use crate::net::Connection;

/// A fault strikes calls of the contract's operations; a call meets at most one, the first that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `None` strikes any operation that speaks the effect's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// `None` strikes calls about any reservation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    /// How many calls it strikes; `None` strikes all from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens to the call.
    pub effect: Effect,
}

/// What a fault does to a call. Effects of one protocol never strike calls of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// A pause, then the normal work and reply.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// No reply, and no work, until the caller goes away or the service is stopped.
    Hang,
    /// No work; the TCP connection ends with RST, and with it every call on it.
    Reset,
    /// REST: this reply instead of the work, with the contract's error body if there is a code.
    Http {
        /// HTTP status.
        status: u16,
        /// The error body's `code`; no body without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Header `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        /// Header `Location`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// The error body's `trace_id`; by default the caller's `x-trace-id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace_id: Option<String>,
    },
    /// REST: any reply at all instead of the work.
    HttpBody {
        /// HTTP status.
        status: u16,
        /// Header `Content-Type`.
        content_type: String,
        /// Sent as it is.
        body: String,
    },
    /// REST: the work, then a 200 without a body. A refusal goes out unchanged.
    EmptyBody,
    /// REST: the work, then a 200 with this body. A refusal goes out unchanged.
    Body {
        /// Header `Content-Type`.
        content_type: String,
        /// Sent as it is.
        body: String,
    },
    /// gRPC: this status instead of the work.
    Grpc {
        /// gRPC status code, 0 to 16; 0 is an `OK` without a message.
        code: i32,
    },
    /// gRPC: `OK` on the wire with this in the message, instead of the work.
    Reply {
        /// Number of the reply's `status`; `CheckAvailability` has none.
        status: i32,
        /// Number of the `common.v1.ErrorCode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_code: Option<i32>,
    },
    /// The work, and then the effect takes the reply's place: the classic lost reply.
    DoneThen {
        /// What becomes of the reply.
        effect: Box<Effect>,
    },
}

impl Fault {
    /// Strikes every such call about one reservation.
    pub fn on(operation: Operation, reservation_id: &str, effect: Effect) -> Self {
        Self { reservation_id: Some(reservation_id.to_owned()), ..Self::any(operation, effect) }
    }

    /// Strikes every such call.
    pub fn any(operation: Operation, effect: Effect) -> Self {
        Self { operation: Some(operation), reservation_id: None, times: None, effect }
    }

    /// Strikes the next `times` calls only.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    fn strikes(&self, operation: Operation, reservation_id: &str) -> bool {
        self.operation.is_none_or(|asked| asked == operation)
            && self.reservation_id.as_deref().is_none_or(|asked| asked == reservation_id)
            && self.effect.speaks(operation.service())
    }
}

impl Effect {
    /// This status without a body.
    pub fn http(status: u16) -> Self {
        Self::Http { status, code: None, retry_after: None, location: None, trace_id: None }
    }

    /// This status with the contract's error body.
    pub fn http_code(status: u16, code: &str) -> Self {
        Self::Http { status, code: Some(code.to_owned()), retry_after: None, location: None, trace_id: None }
    }

    /// This gRPC status.
    pub fn grpc(code: i32) -> Self {
        Self::Grpc { code }
    }

    /// This in-body status and error code.
    pub fn reply(status: i32, error_code: Option<i32>) -> Self {
        Self::Reply { status, error_code }
    }

    /// A pause of this many milliseconds.
    pub fn latency(ms: u64) -> Self {
        Self::Latency { ms }
    }

    /// The work, then this effect.
    pub fn done_then(effect: Self) -> Self {
        Self::DoneThen { effect: Box::new(effect) }
    }

    /// Adds a `Retry-After` to an HTTP status; other effects stay as they are.
    pub fn with_retry_after(mut self, value: &str) -> Self {
        if let Self::Http { retry_after, .. } = &mut self {
            *retry_after = Some(value.to_owned());
        }
        self
    }

    /// Adds a `Location` to an HTTP status; other effects stay as they are.
    pub fn with_location(mut self, value: &str) -> Self {
        if let Self::Http { location, .. } = &mut self {
            *location = Some(value.to_owned());
        }
        self
    }

    fn speaks(&self, service: Service) -> bool {
        match self {
            Self::Latency { .. } | Self::Hang | Self::Reset => true,
            Self::Http { .. } | Self::HttpBody { .. } | Self::EmptyBody | Self::Body { .. } => {
                service == Service::ReservationApi
            }
            Self::Grpc { .. } | Self::Reply { .. } => service == Service::Inventory,
            Self::DoneThen { effect } => effect.speaks(service),
        }
    }

    /// Whether the work comes first, and what comes after it or instead of it.
    fn unfold(self) -> (bool, Self) {
        match self {
            Self::DoneThen { effect } => (true, effect.unfold().1),
            Self::EmptyBody | Self::Body { .. } => (true, self),
            effect => (false, effect),
        }
    }

    /// What becomes of a call under this effect. `instead` words the effects that only the service's own
    /// protocol knows, from the reply of the work where that was done first.
    pub(crate) async fn strike<R>(
        self,
        call: &mut Arrived<'_>,
        connection: &Connection,
        mut work: impl FnMut() -> R,
        instead: impl FnOnce(Self, Option<R>) -> R,
    ) -> R {
        let (work_first, effect) = self.unfold();
        let done = work_first.then(&mut work);
        match effect {
            Self::Latency { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                done.unwrap_or_else(work)
            }
            Self::Hang => {
                call.answered("hang");
                pending().await
            }
            Self::Reset => {
                call.answered("reset");
                connection.reset();
                pending().await
            }
            effect => instead(effect, done),
        }
    }
}

/// The faults asked for and not yet used up, in the order they were asked for.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn ask(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn unused(&self) -> usize {
        self.0.iter().filter(|fault| fault.times.is_some_and(|times| times > 0)).count()
    }

    /// The effect this call meets; uses up one of its times.
    pub(crate) fn meet(&mut self, operation: Operation, reservation_id: &str) -> Option<Effect> {
        let fault = self
            .0
            .iter_mut()
            .find(|fault| fault.times != Some(0) && fault.strikes(operation, reservation_id))?;
        fault.times = fault.times.map(|times| times - 1);
        let effect = fault.effect.clone();
        self.0.retain(|fault| fault.times != Some(0));
        Some(effect)
    }
}
