//! A breaker per service: a service that is down gets no attempts, except for one probe at a time (contract section 6).
//!
//! With partial batch responses Lambda keeps polling at full speed while a service is down. Records that are returned
//! at once would use up their receives within a minute. So records wait for an open breaker inside the invocation,
//! which slows the consumption down to one batch per process and invocation time-out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqs_batch::{ClockReading, Deadline};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::limit::Limit;
use crate::call::{Classify, ErrorClass, NotCalled, NotCalledCause, Service};
use crate::reason::Reason;
use crate::telemetry::metrics::Metrics;

/// How long an attempt waits for an open breaker or for the limit if the invocation has no deadline.
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
    /// Notified when an attempt has ended, because other attempts may wait for that.
    attempt_ended: Notify,
    /// The time-out of an attempt.
    timeout: Duration,
    /// Whether the breaker has closed after an outage, and the records that wait for this must be recalled.
    recall_after_outage: AtomicBool,
    /// Whether a limit has ended, and the records that wait for this must be recalled.
    recall_after_limit: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { since: ClockReading, reason: Reason },
    Probing { reason: Reason },
}

impl Breaker {
    /// A closed breaker. `timeout` is the time-out of an attempt.
    pub fn new(service: Service, settings: BreakerSettings, timeout: Duration, metrics: Metrics) -> Self {
        Self {
            service,
            settings,
            metrics,
            state: Mutex::new(State::Closed { failures: 0 }),
            limit: Mutex::default(),
            attempt_ended: Notify::new(),
            timeout,
            recall_after_outage: AtomicBool::new(false),
            recall_after_limit: AtomicBool::new(false),
        }
    }

    /// Permits an attempt. What it shows about the service must be reported with [`Permit::complete`].
    ///
    /// While the breaker is open this waits, until a probe has closed it or this attempt is the next probe. After
    /// time-outs it also waits while as many attempts are in progress as the limit (`services/limit.rs`) permits.
    ///
    /// # Errors
    ///
    /// [`NotCalled`] when the deadline is reached, or after 30 s without a deadline. The attempt must not be made.
    pub async fn admit(&self, deadline: Deadline) -> Result<Permit<'_>, NotCalled> {
        let mut give_up = deadline;
        loop {
            let attempt_ended = self.attempt_ended.notified();
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
                () = attempt_ended => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Why the breaker is open, if it is.
    pub fn open_reason(&self) -> Option<NotCalled> {
        match *self.state() {
            State::Closed { .. } => None,
            State::Open { reason, .. } | State::Probing { reason } => {
                Some(self.not_called(NotCalledCause::BreakerOpen, reason))
            }
        }
    }

    /// Why attempts are limited, if they are.
    pub fn limit_reason(&self) -> Option<NotCalled> {
        let reason = self.limit().reason();
        reason.map(|reason| self.not_called(NotCalledCause::AttemptsLimited, reason))
    }

    /// The service.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Whether the records that wait for the end of this cause must be recalled, because it has ended: the breaker has
    /// closed after an outage, or the limit has ended. This stays true until
    /// [`recall_completed`](Self::recall_completed) is called or the breaker opens again.
    pub fn needs_recall(&self, cause: NotCalledCause) -> bool {
        self.recall_flag(cause).load(Ordering::Relaxed)
    }

    /// Reports that all records that waited for the end of this cause were recalled.
    pub fn recall_completed(&self, cause: NotCalledCause) {
        self.recall_flag(cause).store(false, Ordering::Relaxed);
    }

    fn recall_flag(&self, cause: NotCalledCause) -> &AtomicBool {
        match cause {
            NotCalledCause::BreakerOpen => &self.recall_after_outage,
            NotCalledCause::AttemptsLimited => &self.recall_after_limit,
        }
    }

    /// A permit, or how long to wait for one if no attempt ends earlier.
    fn try_admit(&self) -> Result<Permit<'_>, (NotCalled, Duration)> {
        let began = ClockReading::now();
        let mut state = self.state();
        let (reason, wait) = match *state {
            State::Closed { .. } => {
                let limited = self.limit().wait(began);
                let Some((wait, reason)) = limited else { return Ok(self.permit(began, None)) };
                return Err((self.not_called(NotCalledCause::AttemptsLimited, reason), wait));
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

/// What an attempt shows about the health of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceHealth {
    /// It works: the attempt succeeded or was rejected.
    Works,
    /// It replied with a transient error, such as 429.
    Transient,
    /// It is unavailable or misconfigured, with this reason code.
    Outage(Reason),
}

impl ServiceHealth {
    /// What a failed attempt shows.
    pub fn of(error: &impl Classify) -> Self {
        match error.class() {
            class if class.is_outage() => Self::Outage(error.reason_code()),
            ErrorClass::Transient { .. } => Self::Transient,
            _ => Self::Works,
        }
    }
}

/// The permission for one attempt. If a probe is dropped before [`complete`](Self::complete) is called, the breaker
/// counts as open since the dropped probe began. Two probes therefore begin at least [`BreakerSettings::open_for`]
/// apart, even if each probe hangs and is dropped at a deadline.
#[derive(Debug)]
#[must_use = "the breaker counts completed attempts"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    began: ClockReading,
    /// Why the breaker is open, if the attempt is a probe.
    probe: Option<Reason>,
}

impl Permit<'_> {
    /// Reports what the attempt shows about the service.
    pub fn complete(mut self, health: ServiceHealth) {
        let Breaker { service, settings, metrics, recall_after_outage, recall_after_limit, .. } =
            self.breaker;
        let BreakerSettings { failures: threshold, open_for } = *settings;
        if threshold == 0 || open_for.is_zero() {
            return;
        }
        // Without its `probe`, dropping the permit does not open the breaker again.
        let is_probe = self.probe.take().is_some();
        self.adapt_limit(is_probe, health);
        let mut state = self.breaker.state();
        let open = |reason| {
            metrics.breaker_open(*service);
            recall_after_outage.store(false, Ordering::Relaxed);
            recall_after_limit.store(false, Ordering::Relaxed);
            State::Open { since: ClockReading::now(), reason }
        };
        match (*state, health) {
            (State::Closed { failures }, ServiceHealth::Outage(reason)) if failures + 1 >= threshold => {
                *state = open(reason);
                let (open_ms, reason_code) = (open_for.as_millis() as u64, reason.as_str());
                tracing::warn!(service = service.as_str(), open_ms, reason_code, "breaker opened");
            }
            (State::Closed { failures }, ServiceHealth::Outage(_)) => {
                *state = State::Closed { failures: failures + 1 };
            }
            (State::Closed { .. }, _) => *state = State::Closed { failures: 0 },
            (State::Probing { .. }, ServiceHealth::Outage(reason)) if is_probe => *state = open(reason),
            (State::Probing { .. }, _) if is_probe => {
                *state = State::Closed { failures: 0 };
                recall_after_outage.store(true, Ordering::Relaxed);
                // The records that wait for the end of a limit are recalled, too.
                recall_after_limit.store(true, Ordering::Relaxed);
                tracing::info!(service = service.as_str(), "breaker closed");
            }
            // The attempt began before the breaker opened, so its result says nothing about the present state.
            (State::Open { .. } | State::Probing { .. }, _) => {}
        }
    }

    fn adapt_limit(&self, is_probe: bool, health: ServiceHealth) {
        let Self { breaker, began, .. } = self;
        let (mut limit, now, service) = (breaker.limit(), ClockReading::now(), breaker.service.as_str());
        let was_limited = limit.reason().is_some();
        match health {
            ServiceHealth::Outage(reason) if !is_probe && now.since(*began) >= breaker.timeout => {
                limit.reduce(*began, now, reason);
                if !was_limited {
                    tracing::warn!(service, reason_code = reason.as_str(), "attempts limited");
                }
            }
            ServiceHealth::Works => {
                if is_probe {
                    limit.resume();
                }
                if limit.grow(*began, now) {
                    breaker.recall_after_limit.store(true, Ordering::Relaxed);
                    tracing::info!(service, "attempts no longer limited");
                }
            }
            // The limit stays as it is: a failed probe was the only attempt, so the load is not the cause. A failure
            // before the time-out and a transient reply say nothing about the load.
            ServiceHealth::Outage(_) | ServiceHealth::Transient => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(reason) = self.probe {
            *self.breaker.state() = State::Open { since: self.began, reason };
        }
        self.breaker.limit().end();
        self.breaker.attempt_ended.notify_waiters();
    }
}
