//! Everything that a seed determines before the run begins.

use std::time::Duration;

use fastrand::Rng;

use crate::bookings::Booking;
use crate::conditions::{Condition, Freeze, LINKS, Period};

/// The time after the failure phase in which breakers close and hanging invocations end.
pub const RECOVERY: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Which failures occur in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Any, up to ten seconds each, with any settings. They may turn events into dead letters.
    ManyFailures,
    /// One outage of one service that turns no event into a dead letter (contract section 1, invariant 6): of up to 20
    /// minutes at the default settings, or of up to an hour with `MAX_RETRIES=10`. Processes may be frozen and
    /// retired.
    OneOutage,
}

#[derive(Debug)]
pub struct Plan {
    pub failure_kind: FailureKind,
    pub variables: Vec<(&'static str, String)>,
    pub is_fifo: bool,
    pub max_receives: u32,
    /// The probability that the queue delivers a message once more.
    pub duplicates: f64,
    /// The default visibility time-out of the queue.
    pub visibility: Duration,
    /// The function's time-out.
    pub function_time: Duration,
    pub processes: usize,
    pub batch_size: usize,
    /// The batching window.
    pub window: Duration,
    /// The maximum delay of a piece of data on each link in milliseconds, outside of failure conditions.
    pub delays: [u64; LINKS],
    /// The probability that an invocation is killed during the failure phase.
    pub kills: f64,
    /// The probability that a process is not used again after an invocation.
    pub retirements: f64,
    /// The first part of the run. All failure conditions lie in it, with these exceptions: a freeze can end after it,
    /// the processes can be frozen once more before the late events, and these events can have single faults.
    pub failure_phase: Duration,
    pub periods: Vec<Period>,
    pub freezes: Vec<Freeze>,
    pub bookings: Vec<Booking>,
    pub rng: Rng,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        if rng.u8(..8) == 0 { Self::with_one_outage(&mut rng) } else { Self::with_many_failures(&mut rng) }
    }

    fn with_many_failures(rng: &mut Rng) -> Self {
        let failure_phase = Duration::from_secs(rng.u64(5..40));
        let bookings = Booking::draw_all(rng, FailureKind::ManyFailures, failure_phase);
        let ids: Vec<_> = bookings.iter().map(|booking| booking.hold.reservation_id.clone()).collect();
        let periods = if rng.u8(..10) == 0 { 0 } else { rng.usize(1..14) };
        let max_receives = rng.u32(2..6);
        // Often too short for a call that gets no reply and its retries.
        let function_time =
            Duration::from_secs(if rng.u8(..3) == 0 { rng.u64(2..5) } else { rng.u64(5..30) });
        Self {
            failure_kind: FailureKind::ManyFailures,
            variables: vec![
                ("WORKER_CONCURRENCY", rng.choice([1, 2, 20]).unwrap().to_string()),
                ("MAX_RETRIES", max_receives.to_string()),
                ("BACKOFF_BASE_MS", rng.choice([1, 300, 1_000]).unwrap().to_string()),
                ("BACKOFF_MAX_MS", rng.choice([1_000, 900_000]).unwrap().to_string()),
                ("RESERVATION_API_TIMEOUT_MS", rng.choice([500, 1_000, 3_000]).unwrap().to_string()),
                ("INVENTORY_TIMEOUT_MS", rng.choice([100, 250]).unwrap().to_string()),
                ("BREAKER_FAILURES", rng.choice([0, 2, 10]).unwrap().to_string()),
                ("BREAKER_OPEN_MS", rng.choice([500, 5_000]).unwrap().to_string()),
                ("DEADLINE_RESERVE_MS", rng.choice([0, 1_000]).unwrap().to_string()),
            ],
            is_fifo: rng.u8(..3) == 0,
            max_receives,
            duplicates: rng.choice([0.0, 0.01, 0.1]).unwrap(),
            visibility: function_time * rng.u32(1..7),
            function_time,
            processes: rng.usize(1..4),
            batch_size: rng.usize(1..11),
            window: Duration::from_millis(rng.choice([0, 100, 2_000]).unwrap()),
            delays: [(); LINKS].map(|()| rng.choice([0, 2, 10]).unwrap()),
            kills: rng.choice([0.0, 0.1, 0.5]).unwrap(),
            retirements: rng.choice([0.0, 0.1, 0.5]).unwrap(),
            failure_phase,
            periods: (0..periods).map(|_| Period::draw(rng, failure_phase, &ids)).collect(),
            freezes: [freezes(rng, failure_phase), freeze_after(rng, failure_phase)].concat(),
            bookings,
            rng: rng.fork(),
        }
    }

    fn with_one_outage(rng: &mut Rng) -> Self {
        let (max_receives, longest) = rng.choice([(5, 20), (5, 20), (10, 60)]).unwrap();
        let begins = Duration::from_secs(rng.u64(..60));
        let lasts = Duration::from_secs(rng.u64(60..=longest * 60));
        let during = freezes(rng, begins + lasts);
        // The outage goes on while processes are frozen.
        let frozen = during.iter().map(|freeze| freeze.lasts).sum();
        let lasts = lasts.saturating_sub(frozen).max(SECOND);
        let failure_phase = begins + lasts;
        Self {
            failure_kind: FailureKind::OneOutage,
            variables: vec![("MAX_RETRIES", max_receives.to_string())],
            max_receives,
            duplicates: 0.0,
            visibility: 180 * SECOND,
            function_time: 30 * SECOND,
            kills: 0.0,
            failure_phase,
            periods: vec![Period { begins, lasts, condition: Condition::outage(rng) }],
            freezes: [during, freeze_after(rng, failure_phase)].concat(),
            bookings: Booking::draw_all(rng, FailureKind::OneOutage, failure_phase),
            ..Self::with_many_failures(rng)
        }
    }
}

/// Up to two times in the failure phase at which the processes are frozen.
fn freezes(rng: &mut Rng, failure_phase: Duration) -> Vec<Freeze> {
    (0..rng.usize(..3))
        .map(|_| {
            let begins = failure_phase.mul_f64(rng.f64());
            Freeze::draw(rng, begins)
        })
        .collect()
}

/// In every second run the processes are frozen before the events that come after the recovery.
fn freeze_after(rng: &mut Rng, failure_phase: Duration) -> Vec<Freeze> {
    rng.bool().then(|| Freeze::draw(rng, failure_phase + RECOVERY / 2)).into_iter().collect()
}
