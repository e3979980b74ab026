//! A breaker per service: a service that is down is not called, except for one probe at a time (contract section 6).
//!
//! With partial batch responses Lambda keeps polling at full speed while a service is down, so the worker must stop
//! calling by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::call::{BreakerOpen, Service};
use crate::telemetry::metrics::Metrics;

/// When a breaker opens and for how long. A zero in either field turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The breaker opens after this number of calls in a row that found the service unavailable.
    pub failures: u32,
    /// How long the breaker stays open before it permits a probe.
    pub open_for: Duration,
}

/// The breaker of one service.
#[derive(Debug)]
pub struct Breaker {
    service: Service,
    settings: BreakerSettings,
    metrics: Metrics,
    state: Mutex<State>,
    /// Notified when a probe has ended, whatever its result.
    probe_ended: Notify,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(service: Service, settings: BreakerSettings, metrics: Metrics) -> Self {
        let state = Mutex::new(State::Closed { failures: 0 });
        Self { service, settings, metrics, state, probe_ended: Notify::new() }
    }

    /// Permits a call. Its result must be reported with [`Permit::complete`].
    ///
    /// While a probe is in progress, this waits for its result. If the service has recovered, the other records must
    /// not be returned, because that would use up one of their receives.
    ///
    /// # Errors
    ///
    /// [`BreakerOpen`]: the call must not be made.
    pub async fn admit(&self) -> Result<Permit<'_>, BreakerOpen> {
        loop {
            let probe_ended = self.probe_ended.notified();
            if let Some(admitted) = self.try_admit() {
                return admitted;
            }
            probe_ended.await;
        }
    }

    /// Returns `None` while a probe is in progress.
    fn try_admit(&self) -> Option<Result<Permit<'_>, BreakerOpen>> {
        let mut state = self.state();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    self.metrics.breaker_open(self.service);
                    return Some(Err(BreakerOpen { service: self.service, left }));
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

    fn open(&self, state: &mut State) {
        *state = State::Open { until: Instant::now() + self.settings.open_for };
        self.metrics.breaker_open(self.service);
        let open_ms = self.settings.open_for.as_millis() as u64;
        tracing::warn!(service = self.service.as_str(), open_ms, "breaker open");
    }
}

/// The permission for one call. If the permit of a probe is dropped before it is completed, the next call is the
/// probe.
#[derive(Debug)]
#[must_use = "the breaker counts completed calls"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Permit<'_> {
    /// Reports whether the call found the service unavailable. A service that rejects a call is available.
    pub fn complete(mut self, unavailable: bool) {
        let BreakerSettings { failures: limit, open_for } = self.breaker.settings;
        if limit == 0 || open_for.is_zero() {
            return;
        }
        let mut state = self.breaker.state();
        match *state {
            State::Closed { failures } if unavailable && failures + 1 < limit => {
                *state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } if unavailable => self.breaker.open(&mut state),
            State::Closed { .. } => *state = State::Closed { failures: 0 },
            State::Probing if self.is_probe && unavailable => self.breaker.open(&mut state),
            State::Probing if self.is_probe => {
                *state = State::Closed { failures: 0 };
                tracing::info!(service = self.breaker.service.as_str(), "breaker closed");
            }
            // The call began before the breaker opened, so its result is old.
            State::Open { .. } | State::Probing => {}
        }
        // The probe is complete, so dropping the permit must not make the next call a probe.
        if std::mem::take(&mut self.is_probe) {
            self.breaker.probe_ended.notify_waiters();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            *self.breaker.state() = State::Open { until: Instant::now() };
            self.breaker.probe_ended.notify_waiters();
        }
    }
}
