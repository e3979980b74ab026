//! The attempts of calls that the function makes, by process. The function reports each attempt in a debug line.

use std::cell::RefCell;
use std::fmt::Debug;

use tokio::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry;

/// An attempt of a call, as the process saw it.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    pub process: usize,
    pub service: String,
    pub result: String,
    pub began: Option<Instant>,
}

tokio::task_local! {
    /// The process that runs the current task.
    pub static PROCESS: usize;
}

thread_local! {
    static ATTEMPTS: RefCell<Vec<Attempt>> = const { RefCell::new(Vec::new()) };
}

/// Removes and returns all attempts of this thread.
pub fn take() -> Vec<Attempt> {
    ATTEMPTS.take()
}

/// Collects the attempts of the threads in which this subscriber is the default.
pub fn subscriber() -> impl Subscriber + Send + Sync {
    registry().with(Collector)
}

struct Collector;

impl<S: Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && metadata.target() == "reservation_worker::telemetry::call"
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let process = PROCESS.try_with(|process| *process).expect("a call is made within a process");
        let mut attempt = Attempt { process, began: Some(Instant::now()), ..Attempt::default() };
        event.record(&mut attempt);
        ATTEMPTS.with_borrow_mut(|attempts| attempts.push(attempt));
    }
}

impl Visit for Attempt {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "service" => self.service = value.to_owned(),
            "result" => self.result = value.to_owned(),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "duration_ms" {
            self.began = self.began.and_then(|ended| ended.checked_sub(Duration::from_secs_f64(value / 1e3)));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
