//! Changes how the services and the processes of the function behave.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::extract::{Path, State};
use axum::routing::{post, put};
use axum::{Json, Router};
use reservation_worker_local::{Effect, Fault, Service};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::{Desk, Shared};

/// The gRPC status codes of a denied and of an unavailable service.
const UNAUTHENTICATED: i32 = 16;
const UNAVAILABLE: i32 = 14;
/// `SUCCESS` of both operations of the inventory.
const SUCCESS: i32 = 1;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/services/{service}", put(set_mode))
        .route("/api/processes/{pid}/{action}", post(signal))
}

/// How a service behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Behaviour {
    /// Works.
    Works,
    /// Refuses connections.
    Refuses,
    /// Does not reply and does no work.
    Hangs,
    /// Does the work and replies late.
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
    behaviour: Behaviour,
    /// The delay of a slow service in milliseconds.
    #[serde(default)]
    ms: u64,
    /// The number of calls that are affected. `None`: all calls until the behaviour is changed.
    #[serde(default)]
    calls: Option<u32>,
}

impl Mode {
    const WORKS: Self = Self { behaviour: Behaviour::Works, ms: 0, calls: None };

    fn effect(self, service: Service) -> Option<Effect> {
        let is_rest = service == Service::ReservationApi;
        Some(match self.behaviour {
            Behaviour::Works | Behaviour::Refuses => return None,
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

impl Desk {
    /// How each service behaves now, with the number of calls that are left.
    pub(super) fn current_modes(&self) -> BTreeMap<Service, Mode> {
        let faults = self.pipeline.services.faults();
        let modes = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |service| {
            let mode = modes.get(&service).copied().unwrap_or(Mode::WORKS);
            let fault = faults.iter().find(|fault| fault.service == Some(service));
            match (mode.behaviour, fault) {
                (Behaviour::Refuses, _) => mode,
                (_, Some(fault)) => Mode { calls: fault.times, ..mode },
                // All calls that the fault affects were made.
                (_, None) => Mode::WORKS,
            }
        };
        [Service::ReservationApi, Service::Inventory].map(|service| (service, current(service))).into()
    }
}

async fn set_mode(
    State(desk): State<Shared>,
    Path(service): Path<Service>,
    Json(mode): Json<Mode>,
) -> Result<(), Refusal> {
    let services = &desk.pipeline.services;
    services.end_faults(service);
    match mode.behaviour {
        Behaviour::Refuses => services.stop(service).await,
        _ => services.restart(service).await?,
    }
    if let Some(effect) = mode.effect(service) {
        services.fault(Fault { times: mode.calls, ..Fault::of_service(service, effect) });
    }
    desk.modes.lock().unwrap_or_else(PoisonError::into_inner).insert(service, mode);
    desk.activity.announce();
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Kill,
    Freeze,
    Thaw,
}

async fn signal(State(desk): State<Shared>, Path((pid, action)): Path<(u32, Action)>) -> Result<(), Refusal> {
    let Desk { pipeline, .. } = &*desk;
    let has_process = match action {
        Action::Kill => pipeline.mapping.kill(pid),
        Action::Freeze => pipeline.mapping.freeze(pid),
        Action::Thaw => pipeline.mapping.thaw(pid),
    };
    has_process.then_some(()).ok_or_else(|| Refusal::not_found("such process any more"))
}
