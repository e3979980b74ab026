//! Answers single questions of the page.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use reservation_worker_local::trace_receivers::Span;
use reservation_worker_local::{Call, Reservation, SeatMap, SeatState};
use serde::{Deserialize, Serialize};

use super::backend::Shared;
use crate::activity::{NumberedLine, Record};

/// The largest number of reservations in one reply.
const MAX_RESERVATIONS: usize = 200;
/// The largest number of log lines in one reply.
const MAX_LINES: usize = 300;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        // The id of a reservation, a message or a ticketed event can be any text, for example `..`, which a browser
        // would resolve in a path. So it is a query parameter.
        .route("/api/stories/reservations", get(story_of_reservation))
        .route("/api/stories/messages", get(story_of_message))
        .route("/api/traces/{trace_id}", get(trace))
        .route("/api/log", get(log))
        .route("/api/reservations", get(reservations))
        .route("/api/concerts", get(concerts))
        .route("/api/seats", get(seats))
}

/// Everything that is known about a reservation or a message.
#[derive(Serialize)]
struct Story {
    reservation: Option<Reservation>,
    seats: BTreeMap<String, SeatState>,
    /// All deliveries, oldest first.
    records: Vec<Record>,
    /// The requests as the services received them, with their replies.
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct ById {
    id: String,
}

async fn story_of_reservation(State(backend): State<Shared>, Query(ById { id }): Query<ById>) -> Json<Story> {
    let services = &backend.pipeline.services;
    Json(Story {
        reservation: services.reservation(&id),
        seats: services.seats(&id),
        records: backend.activity.history().find(|r| r.summary.reservation_id.as_ref() == Some(&id)),
        calls: services.calls_for(&id),
    })
}

async fn story_of_message(State(backend): State<Shared>, Query(ById { id }): Query<ById>) -> Json<Story> {
    let records = backend.activity.history().find(|record| record.summary.message_id == id);
    Json(Story { reservation: None, seats: BTreeMap::new(), records, calls: Vec::new() })
}

async fn trace(State(backend): State<Shared>, Path(trace_id): Path<String>) -> Json<Vec<Span>> {
    Json(backend.activity.history().trace(&trace_id))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    text: String,
}

async fn log(State(backend): State<Shared>, Query(search): Query<Search>) -> Json<Vec<NumberedLine>> {
    Json(backend.activity.history().lines(&search.text, MAX_LINES))
}

#[derive(Serialize)]
struct Found {
    /// The number of reservations that match.
    total: usize,
    reservations: Vec<WithSeats>,
}

#[derive(Serialize)]
struct WithSeats {
    #[serde(flatten)]
    reservation: Reservation,
    seat_state: Option<SeatState>,
}

async fn reservations(State(backend): State<Shared>, Query(search): Query<Search>) -> Json<Found> {
    let services = &backend.pipeline.services;
    let mut found = services.reservations();
    found.retain(|reservation| {
        [&reservation.reservation_id, &reservation.event_id].iter().any(|id| id.contains(&search.text))
    });
    found.sort_by(|a, b| a.reservation_id.cmp(&b.reservation_id));
    let total = found.len();
    let shown = found.into_iter().take(MAX_RESERVATIONS);
    let with_seats = |reservation: Reservation| WithSeats {
        seat_state: services.seat_state(&reservation.reservation_id),
        reservation,
    };
    Json(Found { total, reservations: shown.map(with_seats).collect() })
}

/// The number of places of each ticketed event, by state.
async fn concerts(State(backend): State<Shared>) -> Json<BTreeMap<String, BTreeMap<SeatState, u32>>> {
    let services = &backend.pipeline.services;
    let mut concerts = BTreeMap::<String, BTreeMap<SeatState, u32>>::new();
    for reservation in services.reservations() {
        if let Some(state) = services.seat_state(&reservation.reservation_id) {
            let states = concerts.entry(reservation.event_id).or_default();
            *states.entry(state).or_default() += reservation.quantity;
        }
    }
    Json(concerts)
}

async fn seats(State(backend): State<Shared>, Query(ById { id }): Query<ById>) -> Json<SeatMap> {
    Json(backend.pipeline.services.seat_map(&id))
}
