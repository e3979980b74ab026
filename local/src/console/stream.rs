//! Sends the page what has changed, as server-sent events.
//!
//! Between two connections the server stores nothing about a page. It needs only one number, that of the latest record
//! that the page has. The id of each event contains this number, after the name of the run. After a broken connection
//! the browser sends the latest id, and the page gets the records after that number. If they are no longer known, or if
//! the console was started again in the meantime, the page gets a snapshot, which replaces everything that it had.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use futures_util::Stream;
use futures_util::stream::unfold;
use reservation_worker_local::Service;
use serde::Serialize;
use tokio::sync::watch;

use super::backend::Shared;
use super::mode::Mode;
use crate::activity::{Overview, Record};

/// The largest number of records in one event, which is also the number that a page keeps.
const MAX_RECORDS: usize = 2_000;

/// The time after which a browser connects again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// The page hears from the server at least this often, so that it notices a server that does not answer any more.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/stream", get(stream))
}

#[derive(Serialize)]
struct Update<'a> {
    run: &'a str,
    /// Whether the page must forget the records that it has.
    is_snapshot: bool,
    records: Vec<&'a Record>,
    overview: &'a Overview,
    services: BTreeMap<Service, Mode>,
}

/// A page, as the server knows it.
struct Reader {
    backend: Shared,
    changes: watch::Receiver<u64>,
    /// The number of the latest record that the page has. `None`: it needs a snapshot.
    has: Option<u64>,
}

async fn stream(
    State(backend): State<Shared>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let has = last
        .split_once('-')
        .filter(|(run, _)| *run == backend.run)
        .and_then(|(_, number)| number.parse().ok());
    let mut changes = backend.activity.changes();
    // The first event is sent at once.
    changes.mark_changed();
    let reader = Reader { backend, changes, has };
    let alive = Event::default().event("alive").data("");
    Sse::new(unfold(reader, next)).keep_alive(KeepAlive::new().interval(ALIVE_INTERVAL).event(alive))
}

/// Waits for a change. Returns `None` when the console ends.
async fn next(mut reader: Reader) -> Option<(Result<Event, Infallible>, Reader)> {
    reader.changes.changed().await.ok()?;
    let event = reader.update().unwrap_or_else(|error| Event::default().comment(error.to_string()));
    Some((Ok(event), reader))
}

impl Reader {
    fn update(&mut self) -> serde_json::Result<Event> {
        let history = self.backend.activity.history();
        let last = history.last_record();
        let has = self.has.filter(|has| last.saturating_sub(*has) <= MAX_RECORDS as u64 && *has <= last);
        let update = Update {
            run: &self.backend.run,
            is_snapshot: has.is_none(),
            records: history.records_after(has.unwrap_or_default(), MAX_RECORDS).collect(),
            overview: history.overview(),
            services: self.backend.current_modes(),
        };
        let event = Event::default()
            .retry(RECONNECT_AFTER)
            .id(format!("{}-{last}", self.backend.run))
            .data(serde_json::to_string(&update)?);
        drop(history);
        self.has = Some(last);
        Ok(event)
    }
}
