//! One breaker a service: a service that is down is left alone, but for one probe at a time (contract section 6).
//!
//! With partial responses Lambda does not slow its polling when a service is down, so the worker must.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Config;
use crate::telemetry::call::Service;
use crate::telemetry::metrics::Metrics;

/// Opens after so many calls in a row that found the service unavailable, for so long.
#[derive(Debug)]
pub struct Breaker {
    service: Service,
    failures: u32,
    open_for: Duration,
    metrics: Metrics,
    state: Mutex<State>,
    /// A probe has decided, or was given up.
    probed: Notify,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// The breaker is open: the service was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not called: its breaker is open")]
pub struct Open {
    /// Whose breaker it is.
    pub service: Service,
    /// What is left of its time.
    pub left: Duration,
}

impl Breaker {
    /// `BREAKER_FAILURES` or `BREAKER_OPEN_MS` at 0 is no breaker.
    pub fn new(service: Service, config: &Config, metrics: Metrics) -> Self {
        let state = Mutex::new(State::Closed { failures: 0 });
        let (failures, open_for) = (config.breaker_failures, config.breaker_open);
        Self { service, failures, open_for, metrics, state, probed: Notify::new() }
    }

    /// Lets a call through, to be settled when it has ended.
    ///
    /// While a probe is under way, waits for what it decides: a service that is well again is not to cost
    /// the rest of a batch a receive, which may be its last.
    ///
    /// # Errors
    ///
    /// [`Open`], and then the call is not to be made.
    pub async fn admit(&self) -> Result<Permit<'_>, Open> {
        loop {
            let probed = self.probed.notified();
            if let Some(admitted) = self.try_admit() {
                return admitted;
            }
            probed.await;
        }
    }

    /// Nothing while a probe is under way.
    fn try_admit(&self) -> Option<Result<Permit<'_>, Open>> {
        let mut state = self.state();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Some(Err(self.turned_away(left)));
                }
                *state = State::Probing;
                true
            }
            State::Probing => return None,
        };
        Some(Ok(Permit { breaker: self, is_probe }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turned_away(&self, left: Duration) -> Open {
        self.metrics.breaker_open(self.service);
        Open { service: self.service, left }
    }

    fn open(&self, state: &mut State) {
        *state = State::Open { until: Instant::now() + self.open_for };
        self.metrics.breaker_open(self.service);
        let open_ms = self.open_for.as_millis() as u64;
        tracing::warn!(service = self.service.as_str(), open_ms, "breaker open");
    }
}

/// A call that was admitted. A probe that is dropped before it is settled leaves its place to the next.
#[derive(Debug)]
#[must_use = "the breaker counts what is settled"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Permit<'_> {
    /// Says whether the call found the service unavailable; one that refuses is there.
    pub fn settle(mut self, unavailable: bool) {
        if self.breaker.failures == 0 || self.breaker.open_for.is_zero() {
            return;
        }
        let mut state = self.breaker.state();
        match *state {
            State::Closed { failures } if unavailable && failures + 1 < self.breaker.failures => {
                *state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } if unavailable => self.breaker.open(&mut state),
            State::Closed { .. } => *state = State::Closed { failures: 0 },
            State::Probing if self.is_probe && unavailable => self.breaker.open(&mut state),
            State::Probing if self.is_probe => {
                *state = State::Closed { failures: 0 };
                tracing::info!(service = self.breaker.service.as_str(), "breaker closed");
            }
            // A call from before it opened says nothing new.
            State::Open { .. } | State::Probing => {}
        }
        // What is dropped now leaves no place.
        if std::mem::take(&mut self.is_probe) {
            self.breaker.probed.notify_waiters();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            *self.breaker.state() = State::Open { until: Instant::now() };
            self.breaker.probed.notify_waiters();
        }
    }
}
