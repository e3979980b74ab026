//! How a service behaves.

use reservation_worker_local::{Effect, Service};
use serde::{Deserialize, Serialize};

/// The gRPC status codes of a denied and of an unavailable service.
const UNAUTHENTICATED: i32 = 16;
const UNAVAILABLE: i32 = 14;
/// `SUCCESS` of both operations of the inventory.
const SUCCESS: i32 = 1;

const MAX_DELAY_MS: u64 = 600_000;

/// How a service behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Behaviour {
    /// Works.
    Works,
    /// Refuses connections. For a number of requests: closes the connection of each of them.
    Refuses,
    /// Does not reply and does no work.
    Hangs,
    /// Waits, then does the work and replies.
    Slow,
    /// Denies access.
    Denies,
    /// Replies that it is unavailable.
    Unavailable,
    /// Does the work and does not reply.
    LosesReplies,
    /// Replies that the work is done and does nothing.
    Lies,
}

/// A behaviour with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mode {
    pub(super) behaviour: Behaviour,
    /// The delay of a slow service in milliseconds.
    #[serde(default)]
    pub(super) ms: u64,
    /// The number of requests that are affected. `None`: all requests until the behaviour is changed.
    #[serde(default)]
    pub(super) requests: Option<u32>,
}

impl Mode {
    pub(super) const WORKS: Self = Self { behaviour: Behaviour::Works, ms: 0, requests: None };

    /// Why this mode is impossible, if it is.
    pub(super) fn problem(self) -> Option<&'static str> {
        match self {
            Self { requests: Some(0), .. } => Some("a behaviour affects at least 1 request"),
            Self { behaviour: Behaviour::Slow, ms, .. } if !(1..=MAX_DELAY_MS).contains(&ms) => {
                Some("a delay is 1 to 600,000 ms")
            }
            _ => None,
        }
    }

    /// The effect on the requests to this service, if they have one.
    pub(super) fn effect(self, service: Service) -> Option<Effect> {
        let is_rest = service == Service::ReservationApi;
        Some(match self.behaviour {
            Behaviour::Works => return None,
            // A closed port cannot count requests.
            Behaviour::Refuses => {
                self.requests?;
                Effect::Reset
            }
            Behaviour::Hangs => Effect::Hang,
            Behaviour::Slow => Effect::latency(self.ms),
            Behaviour::Denies if is_rest => Effect::http(401),
            Behaviour::Denies => Effect::grpc(UNAUTHENTICATED),
            Behaviour::Unavailable if is_rest => Effect::http(503),
            Behaviour::Unavailable => Effect::grpc(UNAVAILABLE),
            Behaviour::LosesReplies => Effect::done_then(Effect::Hang),
            Behaviour::Lies if is_rest => Effect::http(200),
            Behaviour::Lies => Effect::reply(SUCCESS, None),
        })
    }
}
