//! What a fault does to a call.

use std::future::pending;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumMessage, IntoStaticStr};

use crate::calls::{CallInFlight, Service};
use crate::server::Connection;

/// What a fault does to a call. An effect for REST never affects a gRPC call, and an effect for gRPC never affects a
/// REST call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, EnumCount, EnumMessage, IntoStaticStr)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[strum(serialize_all = "kebab-case")]
pub enum Effect {
    /// Waits, then performs the operation and sends the normal reply.
    Latency {
        /// The waiting time in milliseconds.
        ms: u64,
    },
    /// Does not perform the operation and sends no reply. The call ends when the caller disconnects or the
    /// service is stopped.
    Hang,
    /// Does not perform the operation and closes the TCP connection with RST. All calls on this connection
    /// end.
    Reset,
    /// REST: sends this reply and does not perform the operation. The reply has the contract's error body if
    /// `code` is set.
    Http {
        /// The HTTP status.
        status: u16,
        /// The `code` in the error body. `None`: the reply has no body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The value of the header `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        /// The value of the header `Location`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// The `trace_id` in the error body. `None`: the value of the caller's header `x-trace-id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace_id: Option<String>,
    },
    /// REST: sends this reply and does not perform the operation. The body can be anything.
    HttpBody {
        /// The HTTP status.
        status: u16,
        /// The value of the header `Content-Type`.
        content_type: String,
        /// The body, which is sent unchanged.
        body: String,
    },
    /// REST: performs the operation, then sends a 200 without a body. An error reply is sent unchanged.
    EmptyBody,
    /// REST: performs the operation, then sends a 200 with this body. An error reply is sent unchanged.
    Body {
        /// The value of the header `Content-Type`.
        content_type: String,
        /// The body, which is sent unchanged.
        body: String,
    },
    /// REST: performs the operation, then sends its reply with every name of a field in camelCase, as the
    /// published reservation service does.
    CamelCase,
    /// gRPC: sends this status and does not perform the operation.
    Grpc {
        /// The gRPC status code, 0 to 16. With 0, the reply is `OK` without a message.
        code: i32,
    },
    /// gRPC: sends `OK` with a message that contains these values, and does not perform the operation.
    Reply {
        /// The number of the message's `status`. `CheckAvailability` has no status.
        status: i32,
        /// The number of the `common.v1.ErrorCode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_code: Option<i32>,
    },
    /// Performs the operation, then applies another effect to the reply. This is how a reply is lost.
    DoneThen {
        /// The effect on the reply.
        effect: Box<Effect>,
    },
}

impl Effect {
    /// The message in each error that a fault creates. Tests can search for it in places where it must not appear.
    pub const MESSAGE: &str = "requested by a fault";

    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// An HTTP status without a body.
    pub fn http(status: u16) -> Self {
        Self::Http { status, code: None, retry_after: None, location: None, trace_id: None }
    }

    /// An HTTP status with the contract's error body.
    pub fn http_code(status: u16, code: &str) -> Self {
        Self::Http { status, code: Some(code.to_owned()), retry_after: None, location: None, trace_id: None }
    }

    /// A gRPC status code, 0 to 16.
    pub fn grpc(code: i32) -> Self {
        Self::Grpc { code }
    }

    /// A gRPC message with these numbers as its status and its error code.
    pub fn reply(status: i32, error_code: Option<i32>) -> Self {
        Self::Reply { status, error_code }
    }

    /// A delay in milliseconds.
    pub fn latency(ms: u64) -> Self {
        Self::Latency { ms }
    }

    /// Performs the operation, then applies `effect` to the reply.
    pub fn done_then(effect: Self) -> Self {
        Self::DoneThen { effect: Box::new(effect) }
    }

    /// Adds the header `Retry-After` to [`Effect::Http`]. Other effects do not change.
    pub fn with_retry_after(mut self, value: &str) -> Self {
        if let Self::Http { retry_after, .. } = &mut self {
            *retry_after = Some(value.to_owned());
        }
        self
    }

    /// Adds the header `Location` to [`Effect::Http`]. Other effects do not change.
    pub fn with_location(mut self, value: &str) -> Self {
        if let Self::Http { location, .. } = &mut self {
            *location = Some(value.to_owned());
        }
        self
    }

    /// Whether the effect exists in the protocol of this service.
    pub(super) fn is_possible_for(&self, service: Service) -> bool {
        match self {
            Self::Latency { .. } | Self::Hang | Self::Reset => true,
            Self::Http { .. }
            | Self::HttpBody { .. }
            | Self::EmptyBody
            | Self::Body { .. }
            | Self::CamelCase => service == Service::ReservationApi,
            Self::Grpc { .. } | Self::Reply { .. } => service == Service::Inventory,
            Self::DoneThen { effect } => effect.is_possible_for(service),
        }
    }

    /// Whether the operation is performed first, and the effect that then follows.
    fn split(self) -> (bool, Self) {
        match self {
            Self::DoneThen { effect } => (true, effect.split().1),
            Self::EmptyBody | Self::Body { .. } | Self::CamelCase => (true, self),
            effect => (false, effect),
        }
    }

    /// Applies the effect to a call and returns the reply.
    ///
    /// `work` performs the operation. `replace` builds the reply for an effect of the service's own protocol.
    /// Its second argument is the reply to the operation, if the operation was performed first.
    pub(crate) async fn apply<R>(
        self,
        call: &mut CallInFlight<'_>,
        connection: &Connection,
        mut work: impl FnMut() -> R,
        replace: impl FnOnce(Self, Option<R>) -> R,
    ) -> R {
        let (work_first, effect) = self.split();
        let reply = work_first.then(&mut work);
        match effect {
            Self::Latency { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                reply.unwrap_or_else(work)
            }
            Self::Hang => {
                call.set_reply("hang");
                pending().await
            }
            Self::Reset => {
                call.set_reply("reset");
                connection.reset();
                pending().await
            }
            effect => replace(effect, reply),
        }
    }
}
