//! Everything that a seed determines before the run begins.

use std::time::Duration;

use fastrand::Rng;
use reservation_worker_local::{Fault, Hold};

use crate::conditions::{self, LINKS, Period};
use crate::events::{self, Kind, Message};

/// The time after the failure phase in which breakers close and hanging invocations end.
const RECOVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Plan {
    pub variables: Vec<(&'static str, String)>,
    pub is_fifo: bool,
    pub max_receives: u32,
    /// The probability that the queue delivers a message once more.
    pub duplicates: f64,
    /// The default visibility time-out of the queue.
    pub visibility: Duration,
    /// The function's time-out.
    pub function_time: Duration,
    pub instances: usize,
    pub batch_size: usize,
    /// The batching window.
    pub window: Duration,
    /// The maximum delay of a piece of data on each link in milliseconds, outside of failure conditions.
    pub delays: [u64; LINKS],
    /// The probability that an invocation is killed during the failure phase.
    pub kills: f64,
    /// The first part of the run. All failure conditions lie in it.
    pub failure_phase: Duration,
    pub periods: Vec<Period>,
    pub bookings: Vec<Booking>,
    pub rng: Rng,
}

/// A customer who holds seats, and the messages that are sent about the hold.
#[derive(Debug)]
pub struct Booking {
    pub hold: Hold,
    pub begins: Duration,
    /// A fault that applies from the time of the hold.
    pub fault: Option<Fault>,
    /// The messages, each with the time from the hold until it is sent.
    pub messages: Vec<(Duration, Message)>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let failure_phase = Duration::from_secs(rng.u64(5..40));
        let is_fifo = rng.u8(..3) == 0;
        let seats = rng.usize(3..16);
        let mut bookings: Vec<_> = (0..rng.usize(4..14))
            .map(|number| Booking::in_failure_phase(rng, number, seats, failure_phase))
            .collect();
        let ids: Vec<_> = bookings.iter().map(|booking| booking.hold.reservation_id.clone()).collect();
        let periods = if rng.u8(..10) == 0 { 0 } else { rng.usize(1..14) };
        bookings.extend((0..3).map(|number| Booking::after_recovery(rng, number, failure_phase + RECOVERY)));
        let max_receives = rng.u32(2..6);
        let function_time = Duration::from_secs(rng.u64(5..30));
        Self {
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
            is_fifo,
            max_receives,
            duplicates: rng.choice([0.0, 0.01, 0.1]).unwrap(),
            visibility: function_time * rng.u32(1..7),
            function_time,
            instances: rng.usize(1..4),
            batch_size: rng.usize(1..11),
            window: Duration::from_millis(rng.choice([0, 100, 2_000]).unwrap()),
            delays: [(); LINKS].map(|()| rng.choice([0, 2, 10]).unwrap()),
            kills: rng.choice([0.0, 0.1, 0.5]).unwrap(),
            failure_phase,
            periods: (0..periods).map(|_| Period::draw(rng, failure_phase, &ids)).collect(),
            bookings,
            rng: rng.fork(),
        }
    }
}

impl Booking {
    /// A hold of one to three seats that other bookings compete for. Up to three events are sent about it,
    /// some of them more than once.
    fn in_failure_phase(rng: &mut Rng, number: usize, seats: usize, failure_phase: Duration) -> Self {
        let mut hold = Hold {
            reservation_id: format!("r{number}"),
            event_id: "evt_1".to_owned(),
            user_id: rng.bool().then(|| "user_1".to_owned()),
            ..Hold::default()
        };
        match rng.u8(..6) {
            0 => hold.quantity = Some(rng.u32(1..4)),
            _ => {
                let count = rng.usize(1..4);
                hold.seat_ids = rng.choose_multiple((0..seats).map(|seat| format!("A-{seat}")), count);
            }
        }
        let kinds = [
            &Kind::WORK.repeat(3)[..],
            &[Kind::Approved, Kind::NoWork, Kind::Poison, Kind::UnknownReservation],
        ]
        .concat();
        let mut messages = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let kind = rng.choice(&kinds).copied().unwrap();
            for _ in 0..rng.choice([1, 1, 1, 2, 3]).unwrap() {
                // Usually soon after the hold, sometimes much later.
                let longest = rng.choice([100, 100, 3_000, 3_000, 15_000, 300_000]).unwrap();
                let after = Duration::from_millis(rng.u64(..longest));
                let mut message = events::message(rng, kind, &hold);
                if rng.u8(..4) == 0 {
                    message.group = "shared".to_owned();
                }
                messages.push((after, message));
            }
        }
        let begins = Duration::from_millis(rng.u64(..failure_phase.as_millis() as u64 / 2));
        Self { hold, begins, fault: None, messages }
    }

    /// A hold of a seat that no other booking competes for. One event is sent about it, and one fault at most
    /// applies.
    fn after_recovery(rng: &mut Rng, number: usize, begins: Duration) -> Self {
        let hold = Hold {
            reservation_id: format!("late{number}"),
            event_id: "evt_2".to_owned(),
            user_id: Some("user_2".to_owned()),
            seat_ids: vec![format!("B-{number}")],
            quantity: None,
        };
        let kind = rng.choice(Kind::WORK).unwrap();
        let message = Message { must_succeed_at_once: true, ..events::message(rng, kind, &hold) };
        let after = Duration::from_millis(rng.u64(..2_000));
        let fault = rng.bool().then(|| conditions::single_fault(rng, &hold.reservation_id));
        Self { hold, begins, fault, messages: vec![(after, message)] }
    }
}
