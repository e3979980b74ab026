//! Lists the messages of the dead-letter queue, moves them back, and deletes them.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::backend::Shared;
use super::refusal::Refusal;
use crate::activity::Record;

/// The largest number of messages in one reply.
const MAX_LETTERS: usize = 200;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/dead-letters", get(list))
        .route("/api/dead-letters/redrive", post(redrive))
        .route("/api/dead-letters/delete", post(delete))
}

#[derive(Serialize)]
struct Listed {
    total: usize,
    letters: Vec<Letter>,
}

#[derive(Serialize)]
struct Letter {
    message_id: String,
    body: String,
    /// How often it was received from the queue.
    receives: u32,
    /// Its last delivery, if it is still known.
    record: Option<Record>,
}

async fn list(State(backend): State<Shared>) -> Result<Json<Listed>, Refusal> {
    let mut cache = backend.dead_letters.lock().await;
    let now = {
        let history = backend.activity.history();
        (history.overview().queue.dead, history.last_dead())
    };
    if cache.read_at != Some(now) {
        cache.messages = backend.pipeline.queue.dead().await?;
        // Otherwise messages were added or removed in the meantime.
        cache.read_at = (cache.messages.len() == now.0).then_some(now);
    }
    let shown = &cache.messages[..cache.messages.len().min(MAX_LETTERS)];
    let history = backend.activity.history();
    let records = history.last_deliveries(&shown.iter().map(|(id, _, _)| id.as_str()).collect());
    let letter = |(message_id, body, receives): &(String, String, u32)| Letter {
        record: records.get(message_id.as_str()).map(|&record| record.clone()),
        message_id: message_id.clone(),
        body: body.clone(),
        receives: *receives,
    };
    Ok(Json(Listed { total: cache.messages.len(), letters: shown.iter().map(letter).collect() }))
}

#[derive(Deserialize)]
struct Chosen {
    /// `None`: all messages.
    message_ids: Option<Vec<String>>,
}

impl Chosen {
    fn contains(&self, id: &str) -> bool {
        self.message_ids.as_ref().is_none_or(|ids| ids.iter().any(|chosen| chosen == id))
    }
}

async fn redrive(State(backend): State<Shared>, Json(chosen): Json<Chosen>) -> Result<Json<usize>, Refusal> {
    let mut cache = backend.dead_letters.lock().await;
    cache.read_at = None;
    let moved = backend.pipeline.queue.redrive_some(|id| chosen.contains(id)).await?;
    backend.activity.history().removed(&moved);
    Ok(Json(moved.len()))
}

async fn delete(State(backend): State<Shared>, Json(chosen): Json<Chosen>) -> Result<Json<usize>, Refusal> {
    let mut cache = backend.dead_letters.lock().await;
    cache.read_at = None;
    let deleted = backend.pipeline.queue.delete_dead(|id| chosen.contains(id)).await?;
    backend.activity.history().removed(&deleted);
    Ok(Json(deleted.len()))
}
