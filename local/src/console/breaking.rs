//! Changes how the services and the processes of the function behave.

use std::sync::PoisonError;

use axum::extract::{Path, State};
use axum::routing::{delete, post, put};
use axum::{Json, Router};
use reservation_worker_local::{Fault, Service};
use serde::Deserialize;

use super::backend::{Backend, Shared};
use super::mode::{Behaviour, Mode};
use super::refusal::Refusal;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/services/{service}", put(set_mode))
        .route("/api/faults", delete(remove_faults))
        .route("/api/processes/{pid}/{action}", post(signal))
}

async fn set_mode(
    State(backend): State<Shared>,
    Path(service): Path<Service>,
    Json(mode): Json<Mode>,
) -> Result<(), Refusal> {
    if let Some(problem) = mode.problem() {
        return Err(Refusal::invalid(problem));
    }
    let services = &backend.pipeline.services;
    let _change = backend.changing.lock().await;
    services.end_faults(service);
    match mode.behaviour {
        Behaviour::Refuses if mode.requests.is_none() => services.stop(service).await,
        _ => services.restart(service).await?,
    }
    if let Some(effect) = mode.effect(service) {
        services.fault(Fault { times: mode.requests, ..Fault::of_service(service, effect) });
    }
    backend.modes.lock().unwrap_or_else(PoisonError::into_inner).insert(service, mode);
    backend.activity.announce();
    Ok(())
}

/// Removes all faults, also those of the samples and those that were added outside the console.
async fn remove_faults(State(backend): State<Shared>) {
    backend.pipeline.services.clear_faults();
    backend.activity.announce();
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Kill,
    Freeze,
    Thaw,
}

async fn signal(
    State(backend): State<Shared>,
    Path((pid, action)): Path<(u32, Action)>,
) -> Result<(), Refusal> {
    let Backend { pipeline, .. } = &*backend;
    let has_process = match action {
        Action::Kill => pipeline.mapping.kill(pid),
        Action::Freeze => pipeline.mapping.freeze(pid),
        Action::Thaw => pipeline.mapping.thaw(pid),
    };
    has_process.then_some(()).ok_or_else(|| Refusal::not_found("such process any more"))
}
