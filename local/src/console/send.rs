//! Sends events to the queue, and creates the holds that they need.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::{Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use reservation_worker_local::Hold;
use reservation_worker_local::event_source::{MAX_BATCH_ENTRIES, OutgoingMessage};
use reservation_worker_local::expectations::Case;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::backend::{Backend, Shared};
use super::refusal::Refusal;
use crate::burst::{Burst, BurstPlan};

const MAX_EVENTS: usize = 20_000;
const MAX_COPIES: usize = 100;
/// SQS's limit for the body of a message, in bytes.
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/samples", get(samples))
        .route("/api/samples/{name}", post(send_sample))
        .route("/api/messages", post(send_message))
        .route("/api/holds", post(create_hold))
        .route("/api/bursts", post(send_burst))
        .route("/api/races", post(send_races))
}

/// What was sent.
#[derive(Serialize)]
struct Sent {
    messages: usize,
    /// The reservations that were created for the messages; of a burst only the first 100.
    reservations: Vec<String>,
}

#[derive(Serialize)]
struct SampleInfo {
    name: String,
    /// The expected event type and outcome of each record.
    records: Vec<(String, String)>,
    bodies: Vec<String>,
    /// Whether the outcomes are those on another type of queue.
    is_for_other_queue: bool,
}

async fn samples(State(backend): State<Shared>) -> Json<Vec<SampleInfo>> {
    let info = |case: &Case| {
        let sample = case.sample(1);
        let bodies = sample.messages.iter().map(|message| message.body.clone()).collect();
        let is_for_other_queue = sample.is_fifo != backend.pipeline.queue.fifo && !sample.messages.is_empty();
        SampleInfo { name: case.name(), records: sample.expected, bodies, is_for_other_queue }
    };
    Json(backend.cases.iter().map(info).collect())
}

async fn send_sample(State(backend): State<Shared>, Path(name): Path<String>) -> Result<Json<Sent>, Refusal> {
    let case = backend.cases.iter().find(|case| case.name() == name);
    let case = case.ok_or_else(|| Refusal::not_found("sample event with this name"))?;
    let sample = case.sample(next(&backend.copies, name));
    sample.given.add(&backend.pipeline.services)?;
    let _pause = backend.activity.pause().await;
    let ids = backend.send(sample.messages).await?;
    let outcomes = sample.expected.into_iter().map(|(_, outcome)| outcome);
    let messages = ids.len();
    if sample.is_fifo == backend.pipeline.queue.fifo {
        backend.activity.history().expect(ids.into_iter().zip(outcomes));
    }
    let reservations = sample.given.holds().iter().map(|hold| hold.reservation_id.clone()).collect();
    Ok(Json(Sent { messages, reservations }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnMessage {
    body: String,
    copies: usize,
}

async fn send_message(
    State(backend): State<Shared>,
    Json(own): Json<OwnMessage>,
) -> Result<Json<Sent>, Refusal> {
    if !(1..=MAX_COPIES).contains(&own.copies) {
        return Err(Refusal::invalid("send 1 to 100 copies"));
    }
    if own.body.is_empty() {
        return Err(Refusal::invalid("SQS accepts no message with an empty body"));
    }
    if own.body.len() > MAX_BODY {
        return Err(Refusal::invalid("SQS accepts no body of more than 1 MiB (1,048,576 bytes)"));
    }
    let ids = backend.send(vec![own.body; own.copies]).await?;
    Ok(Json(Sent { messages: ids.len(), reservations: Vec::new() }))
}

async fn create_hold(State(backend): State<Shared>, Json(hold): Json<Hold>) -> Result<(), Refusal> {
    Ok(backend.pipeline.services.create_hold(hold)?)
}

async fn send_burst(
    State(backend): State<Shared>,
    Json(plan): Json<BurstPlan>,
) -> Result<Json<Sent>, Refusal> {
    let BurstPlan { events, duplicates_percent, poison, .. } = plan;
    if !(1..=MAX_EVENTS).contains(&events.saturating_add(poison)) || duplicates_percent > 90 {
        return Err(Refusal::invalid(
            "events and not events together must be 1 to 20,000, and at most 90 % may be duplicates",
        ));
    }
    let burst = Burst::new(&BurstPlan { name: backend.burst_name(), ..plan }).await;
    send(backend, burst.holds, burst.bodies).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Races {
    races: usize,
}

/// Sends an expiry and a payment for the same hold at the same time, in random order.
async fn send_races(
    State(backend): State<Shared>,
    Json(Races { races }): Json<Races>,
) -> Result<Json<Sent>, Refusal> {
    if !(1..=MAX_COPIES).contains(&races) {
        return Err(Refusal::invalid("send 1 to 100 races"));
    }
    let name = backend.burst_name();
    let (mut holds, mut bodies) = (Vec::new(), Vec::new());
    for number in 1..=races {
        let hold = Hold {
            reservation_id: format!("rsv_race{name}{number}"),
            event_id: format!("evt_race{}", name.trim_end_matches('-')),
            seat_ids: vec![format!("R-{number:02}")],
            ..Hold::default()
        };
        let id = &hold.reservation_id;
        let expiry = json!({ "type": "reservation.expired", "detail": { "reservation_id": id } });
        let payment = json!({ "type": "payment.approved", "detail":
            { "reservation_id": id, "payment_intent_id": format!("pay_race{name}{number}") } });
        let mut pair = [expiry.to_string(), payment.to_string()];
        fastrand::shuffle(&mut pair);
        bodies.extend(pair);
        holds.push(hold);
    }
    send(backend, holds, bodies).await
}

async fn send(backend: Shared, holds: Vec<Hold>, bodies: Vec<String>) -> Result<Json<Sent>, Refusal> {
    holds.iter().try_for_each(|hold| backend.pipeline.services.create_hold(hold.clone()))?;
    let reservations = holds.into_iter().take(MAX_COPIES).map(|hold| hold.reservation_id).collect();
    let ids = backend.send(bodies).await?;
    Ok(Json(Sent { messages: ids.len(), reservations }))
}

impl Backend {
    /// Sends messages, and counts them after each request, because a large burst takes seconds. Returns the message ids.
    async fn send<M: Clone + Into<OutgoingMessage>>(&self, messages: Vec<M>) -> io::Result<Vec<String>> {
        let mut ids = Vec::with_capacity(messages.len());
        for request in messages.chunks(MAX_BATCH_ENTRIES) {
            let sent = self.pipeline.queue.send(request.iter().cloned()).await?;
            self.activity.history().sent(sent.len());
            ids.extend(sent);
        }
        Ok(ids)
    }

    /// A name that no earlier burst of this console has.
    fn burst_name(&self) -> String {
        let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
        *bursts += 1;
        format!("{}-", *bursts)
    }
}

/// Counts the uses of a key from 1.
fn next<K: Eq + Hash>(counts: &Mutex<HashMap<K, usize>>, key: K) -> usize {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(key).or_default();
    *count += 1;
    *count
}
