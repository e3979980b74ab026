//! Lists the messages of the dead-letter queue, moves them back, and deletes them.

use std::collections::HashSet;
use std::io;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::backend::{Backend, DeadLetters, Shared};
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
    /// The number of messages in the queue.
    total: usize,
    /// The number of those that are invisible, because something else is reading the queue.
    invisible: usize,
    /// The number of known messages that are not in the queue any more. Which ones these are is not known.
    gone: usize,
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
    let observed = cache.update(&backend).await?;
    let (visible, invisible) = backend.pipeline.queue.dead_depth().await?;
    let total = visible + invisible;
    // A deletion after the last observation is possibly not known yet.
    let gone = cache.messages.len().saturating_sub(total.max(observed));
    let shown = &cache.messages[..cache.messages.len().min(MAX_LETTERS)];
    let history = backend.activity.history();
    let records = history.last_deliveries(&shown.iter().map(|(id, _, _)| id.as_str()).collect());
    let letter = |(message_id, body, receives): &(String, String, u32)| Letter {
        record: records.get(message_id.as_str()).map(|&record| record.clone()),
        message_id: message_id.clone(),
        body: body.clone(),
        receives: *receives,
    };
    Ok(Json(Listed { total, invisible, gone, letters: shown.iter().map(letter).collect() }))
}

impl DeadLetters {
    /// Reads the messages again if one was possibly added or removed, or if not all could be read the last time. Reading
    /// receives them, so that they are invisible to others for a moment. A message that cannot be read, because somebody
    /// else has received it, stays known until it is removed. Returns the number of messages in the last observation of
    /// the queue.
    async fn update(&mut self, backend: &Backend) -> io::Result<usize> {
        let (dead, last_dead) = {
            let history = backend.activity.history();
            self.messages.retain(|(id, _, _)| !history.is_removed(id));
            (history.overview().queue.dead, history.last_dead())
        };
        if self.messages.len() == dead && self.read_at == Some(last_dead) {
            return Ok(dead);
        }
        let read = backend.pipeline.queue.dead_letters().await?;
        let is_complete = read.len() >= backend.pipeline.queue.dead_count().await?;
        if is_complete {
            self.messages = read;
        } else {
            let ids: HashSet<_> = read.iter().map(|(id, _, _)| id).collect();
            self.messages.retain(|(id, _, _)| !ids.contains(id));
            self.messages.extend(read);
        }
        self.read_at = is_complete.then_some(last_dead);
        Ok(dead)
    }
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
