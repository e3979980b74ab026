//! The control API: HTTP endpoints with which people create holds, read seats and calls, list and add faults, and
//! limit the capacity of the services. It uses the port of the reservation API. Its requests are not recorded as
//! calls, and neither faults nor limits affect them. Its replies are formatted for a terminal.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

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
        .layer(map_response(format_for_terminal))
        .with_state(state)
}

/// Indents JSON, and ends each reply that has a body with a newline.
async fn format_for_terminal(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if body.is_empty() {
        return Response::from_parts(head, Body::empty());
    }
    head.headers.remove(CONTENT_LENGTH);
    let indented = serde_json::from_slice::<Value>(&body).map(|json| format!("{json:#}"));
    let text = indented.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
    Response::from_parts(head, Body::from(text + "\n"))
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

/// Replies with all faults that are active now.
async fn add_fault(State(state): State<Arc<SharedState>>, Json(fault): Json<Fault>) -> Response {
    let mut faults = locked(&state.faults);
    faults.add(fault);
    (StatusCode::CREATED, Json(json!({"active": faults.all()}))).into_response()
}

async fn clear_faults(State(state): State<Arc<SharedState>>) -> StatusCode {
    locked(&state.faults).clear();
    StatusCode::NO_CONTENT
}

/// Replies with all limits that are active now.
async fn limit_capacity(
    State(state): State<Arc<SharedState>>,
    Path(service): Path<Service>,
    Json(capacity): Json<Capacity>,
) -> Json<Value> {
    state.request_queues.limit(service, Some(capacity));
    Json(json!({"active": state.request_queues.limits()}))
}

async fn end_limit(State(state): State<Arc<SharedState>>, Path(service): Path<Service>) -> StatusCode {
    state.request_queues.limit(service, None);
    StatusCode::NO_CONTENT
}
