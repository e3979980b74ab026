//! The control API: HTTP endpoints with which people create holds, read seats and calls, list and add faults, and
//! limit the capacity of the services. It uses the port of the reservation API. Its requests are not recorded as
//! calls, and neither faults nor limits affect them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::calls::{Call, Service};
use crate::capacity::Capacity;
use crate::faults::{Catalogue, Fault};
use crate::hold::Hold;
use crate::lock::locked;
use crate::seats::SeatMap;
use crate::state::SharedState;

pub(crate) fn routes(state: Arc<SharedState>) -> Router {
    Router::new()
        .route("/holds", post(create_hold))
        .route("/events/{event_id}/seats", get(seat_map))
        .route("/calls", get(calls).delete(delete_calls))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/capacity/{service}", put(limit_capacity).delete(end_limit))
        .with_state(state)
}

async fn create_hold(State(state): State<Arc<SharedState>>, Json(hold): Json<Hold>) -> Response {
    match state.create_hold(hold) {
        Ok(reservation) => (StatusCode::CREATED, Json(reservation)).into_response(),
        Err(refused) => {
            let error = json!({"error": {"code": "HOLD_REFUSED", "message": refused.to_string()}});
            (StatusCode::CONFLICT, Json(error)).into_response()
        }
    }
}

async fn seat_map(State(state): State<Arc<SharedState>>, Path(event_id): Path<String>) -> Json<SeatMap> {
    Json(locked(&state.seats).map(&event_id))
}

#[derive(Deserialize)]
struct CallFilter {
    reservation_id: Option<String>,
}

async fn calls(State(state): State<Arc<SharedState>>, Query(filter): Query<CallFilter>) -> Json<Vec<Call>> {
    Json(match filter.reservation_id {
        Some(reservation_id) => state.calls.for_reservation(&reservation_id),
        None => state.calls.all(),
    })
}

async fn delete_calls(State(state): State<Arc<SharedState>>) -> StatusCode {
    state.calls.take();
    StatusCode::NO_CONTENT
}

async fn list_faults(State(state): State<Arc<SharedState>>) -> Json<Catalogue> {
    Json(Catalogue::new(locked(&state.faults).all()))
}

async fn add_fault(State(state): State<Arc<SharedState>>, Json(fault): Json<Fault>) -> StatusCode {
    locked(&state.faults).add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(state): State<Arc<SharedState>>) -> StatusCode {
    locked(&state.faults).clear();
    StatusCode::NO_CONTENT
}

async fn limit_capacity(
    State(state): State<Arc<SharedState>>,
    Path(service): Path<Service>,
    Json(capacity): Json<Capacity>,
) -> StatusCode {
    state.request_queues.limit(service, Some(capacity));
    StatusCode::NO_CONTENT
}

async fn end_limit(State(state): State<Arc<SharedState>>, Path(service): Path<Service>) -> StatusCode {
    state.request_queues.limit(service, None);
    StatusCode::NO_CONTENT
}
