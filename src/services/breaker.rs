//! A breaker per service: a service that is down is not called, except for one probe at a time (contract section 6).
//!
//! With partial batch responses Lambda keeps polling at full speed while a service is down. Records that are returned at
//! once would use up their receives within a minute. So records wait for an open breaker inside the invocation, which slows
//! the consumption down to one batch per process and invocation time-out.
//!
//! A call in this file is one attempt of a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqs_batch::{ClockReading, Deadline};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::limit::Limit;
use crate::call::{Classify, NotCalled, NotCalledCause, Service};
use crate::reason::Reason;
use crate::telemetry::metrics::Metrics;

/// How long a call waits for an open breaker or for the limit if the invocation has no deadline.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// When a breaker opens and for how long. A zero in either field turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The number of attempts in a row that must find the service unavailable or misconfigured.
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
    /// Lock order: `state`, then `limit`.
    limit: Mutex<Limit>,
    /// Notified when a call has ended for which others may wait.
    call_ended: Notify,
    /// Whether it has closed after an outage, and records may still wait for that.
    has_recovered: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { since: ClockReading, reason: Reason },
    Probing { reason: Reason },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(service: Service, settings: BreakerSettings, metrics: Metrics) -> Self {
        let state = Mutex::new(State::Closed { failures: 0 });
        let limit = Mutex::new(Limit::new(settings.open_for));
        let (call_ended, has_recovered) = (Notify::new(), AtomicBool::new(false));
        Self { service, settings, metrics, state, limit, call_ended, has_recovered }
    }

    /// Permits a call. Its result must be reported with [`Permit::complete`].
    ///
    /// While the breaker is open this waits, until a probe has closed it or this call is the next probe. After failures it
    /// also waits while as many calls are in progress as the limit (`services/limit.rs`) permits.
    ///
    /// # Errors
    ///
    /// [`NotCalled`] when the deadline is reached, or after 30 s without a deadline. The call must not be made.
    pub async fn admit(&self, deadline: Deadline) -> Result<Permit<'_>, NotCalled> {
        let mut give_up = deadline;
        loop {
            let call_ended = self.call_ended.notified();
            let (not_called, wait) = match self.try_admit() {
                Ok(permit) => return Ok(permit),
                Err(waits) => waits,
            };
            if give_up == Deadline::NONE {
                give_up = Deadline::within(LONGEST_WAIT);
            }
            tokio::select! {
                biased;
                () = give_up.reached() => return Err(not_called),
                () = call_ended => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Why it is open, if it is.
    pub fn open_reason(&self) -> Option<NotCalled> {
        match *self.state() {
            State::Closed { .. } => None,
            State::Open { reason, .. } | State::Probing { reason } => {
                Some(self.not_called(NotCalledCause::BreakerOpen, reason))
            }
        }
    }

    /// Why calls are limited, if they are.
    pub fn limited(&self) -> Option<NotCalled> {
        let reason = self.limit().reason();
        reason.map(|reason| self.not_called(NotCalledCause::CallsLimited, reason))
    }

    /// The service.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Whether it has closed after an outage, or a limit has ended, until [`forget_recovery`](Self::forget_recovery) is called
    /// or it opens again.
    pub fn has_recovered(&self) -> bool {
        self.has_recovered.load(Ordering::Relaxed)
    }

    /// Nothing waits for the recovery any more.
    pub fn forget_recovery(&self) {
        self.has_recovered.store(false, Ordering::Relaxed);
    }

    /// A permit, or how long to wait for one if no call ends earlier.
    fn try_admit(&self) -> Result<Permit<'_>, (NotCalled, Duration)> {
        let began = ClockReading::now();
        let mut state = self.state();
        let (reason, wait) = match *state {
            State::Closed { .. } => {
                let limited = self.limit().wait(began);
                let Some((wait, reason)) = limited else { return Ok(self.permit(began, None)) };
                return Err((self.not_called(NotCalledCause::CallsLimited, reason), wait));
            }
            State::Open { since, reason } => {
                let wait = self.settings.open_for.saturating_sub(began.since(since));
                if wait.is_zero() {
                    *state = State::Probing { reason };
                    return Ok(self.permit(began, Some(reason)));
                }
                (reason, wait)
            }
            State::Probing { reason } => (reason, Duration::MAX),
        };
        self.metrics.breaker_open(self.service);
        Err((self.not_called(NotCalledCause::BreakerOpen, reason), wait))
    }

    fn permit(&self, began: ClockReading, probe: Option<Reason>) -> Permit<'_> {
        self.limit().begin();
        Permit { breaker: self, began, probe }
    }

    fn not_called(&self, cause: NotCalledCause, reason: Reason) -> NotCalled {
        NotCalled { service: self.service, cause, reason }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason code of an error that a breaker counts.
pub fn outage(error: &impl Classify) -> Option<Reason> {
    error.class().is_outage().then(|| error.reason())
}

/// The permission for one call. If a probe is dropped before its completion, the next call probes when the breaker's open
/// time has passed since the dropped probe began: a probe that hangs at each deadline must not make probes more frequent.
#[derive(Debug)]
#[must_use = "the breaker counts completed calls"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    began: ClockReading,
    /// Why the breaker is open, if the call is a probe.
    probe: Option<Reason>,
}

impl Permit<'_> {
    /// Reports the result of the call: the reason code if it found the service unavailable or misconfigured. A service that
    /// rejects a call works.
    pub fn complete(mut self, failure: Option<Reason>) {
        let Breaker { service, settings, metrics, has_recovered, .. } = self.breaker;
        let BreakerSettings { failures: threshold, open_for } = *settings;
        if threshold == 0 || open_for.is_zero() {
            return;
        }
        // The probe ends here, so dropping the permit must not hand it on.
        let is_probe = self.probe.take().is_some();
        let limit_ended = if is_probe && failure.is_some() {
            // A failed probe says nothing about the load, because no other call has begun since the breaker opened.
            false
        } else {
            self.breaker.limit().adapt(self.began, ClockReading::now(), failure)
        };
        let mut state = self.breaker.state();
        let open = |reason| {
            metrics.breaker_open(*service);
            has_recovered.store(false, Ordering::Relaxed);
            State::Open { since: ClockReading::now(), reason }
        };
        match (*state, failure) {
            (State::Closed { failures }, Some(reason)) if failures + 1 >= threshold => {
                *state = open(reason);
                let (open_ms, reason_code) = (open_for.as_millis() as u64, reason.as_str());
                tracing::warn!(service = service.as_str(), open_ms, reason_code, "breaker opened");
            }
            (State::Closed { failures }, Some(_)) => *state = State::Closed { failures: failures + 1 },
            (State::Closed { .. }, None) => {
                *state = State::Closed { failures: 0 };
                if limit_ended {
                    has_recovered.store(true, Ordering::Relaxed);
                }
            }
            (State::Probing { .. }, Some(reason)) if is_probe => *state = open(reason),
            (State::Probing { .. }, None) if is_probe => {
                *state = State::Closed { failures: 0 };
                has_recovered.store(true, Ordering::Relaxed);
                tracing::info!(service = service.as_str(), "breaker closed");
            }
            // The call began before the breaker opened, so its result is old.
            (State::Open { .. } | State::Probing { .. }, _) => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(reason) = self.probe {
            *self.breaker.state() = State::Open { since: self.began, reason };
        }
        self.breaker.limit().end();
        self.breaker.call_ended.notify_waiters();
    }
}
