//! What a person at the desk may ask of the services, on the reservation API's port: create holds, look
//! at seats and calls, ask for faults. Neither recorded nor struck by faults.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::calls::Call;
use crate::faults::Fault;
use crate::seats::SeatMap;
use crate::services::{Hold, Shared, locked};

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/holds", post(create_hold))
        .route("/events/{event_id}/seats", get(seat_map))
        .route("/calls", get(calls).delete(forget_calls))
        .route("/faults", post(ask_fault).delete(clear_faults))
        .with_state(shared)
}

async fn create_hold(State(shared): State<Arc<Shared>>, Json(hold): Json<Hold>) -> Response {
    match shared.create_hold(hold) {
        Ok(reservation) => (StatusCode::CREATED, Json(reservation)).into_response(),
        Err(refused) => {
            let error = json!({"error": {"code": "HOLD_REFUSED", "message": refused.to_string()}});
            (StatusCode::CONFLICT, Json(error)).into_response()
        }
    }
}

async fn seat_map(State(shared): State<Arc<Shared>>, Path(event_id): Path<String>) -> Json<SeatMap> {
    Json(locked(&shared.inventory).seats.map(&event_id))
}

#[derive(Deserialize)]
struct About {
    reservation_id: Option<String>,
}

async fn calls(State(shared): State<Arc<Shared>>, Query(about): Query<About>) -> Json<Vec<Call>> {
    Json(match about.reservation_id {
        Some(reservation_id) => shared.calls.about(&reservation_id),
        None => shared.calls.all(),
    })
}

async fn forget_calls(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.calls.take();
    StatusCode::NO_CONTENT
}

async fn ask_fault(State(shared): State<Arc<Shared>>, Json(fault): Json<Fault>) -> StatusCode {
    locked(&shared.faults).ask(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    locked(&shared.faults).clear();
    StatusCode::NO_CONTENT
}
