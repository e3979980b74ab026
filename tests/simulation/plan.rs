//! All that a seed decides before anything happens.

use std::time::Duration;

use fastrand::Rng;
use reservation_worker_local::{Fault, Hold};

use crate::events::{self, Kind, Message};
use crate::weather::{self, LINKS, Spell};

/// After the last bad weather, breakers have closed and invocations that hung have ended.
const CALM: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Plan {
    pub variables: Vec<(&'static str, u64)>,
    pub is_fifo: bool,
    pub max_receives: u32,
    pub duplicates: f64,
    /// The queue's own visibility time-out.
    pub visibility: Duration,
    /// The function's time-out.
    pub function_time: Duration,
    pub instances: usize,
    pub batch_size: usize,
    /// How long a batch is gathered.
    pub window: Duration,
    /// Milliseconds that a piece takes at most on each link, in fair weather.
    pub delays: [u64; LINKS],
    /// How likely an invocation is killed while the weather is bad.
    pub kills: f64,
    pub storm: Duration,
    pub spells: Vec<Spell>,
    pub bookings: Vec<Booking>,
    pub rng: Rng,
}

/// Somebody who wants seats, and what is sent once they are held.
#[derive(Debug)]
pub struct Booking {
    pub hold: Hold,
    pub begins: Duration,
    /// What rains on it when it is made.
    pub fault: Option<Fault>,
    /// Each so long after the hold.
    pub messages: Vec<(Duration, Message)>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let storm = Duration::from_secs(rng.u64(5..40));
        let is_fifo = rng.u8(..3) == 0;
        let seats = rng.usize(3..16);
        let mut bookings: Vec<_> =
            (0..rng.usize(4..14)).map(|number| Booking::in_a_storm(rng, number, seats, storm)).collect();
        let ids: Vec<_> = bookings.iter().map(|booking| booking.hold.reservation_id.clone()).collect();
        let spells = if rng.u8(..10) == 0 { 0 } else { rng.usize(1..14) };
        bookings.extend((0..3).map(|number| Booking::in_fair_weather(rng, number, storm + CALM)));
        let max_receives = rng.u32(2..6);
        let function_time = Duration::from_secs(rng.u64(5..30));
        Self {
            variables: vec![
                ("WORKER_CONCURRENCY", rng.choice([1, 2, 20]).unwrap()),
                ("MAX_RETRIES", max_receives.into()),
                ("BACKOFF_BASE_MS", rng.choice([1, 300, 1_000]).unwrap()),
                ("BACKOFF_MAX_MS", rng.choice([1_000, 900_000]).unwrap()),
                ("RESERVATION_API_TIMEOUT_MS", rng.choice([500, 1_000, 3_000]).unwrap()),
                ("INVENTORY_TIMEOUT_MS", rng.choice([100, 250]).unwrap()),
                ("BREAKER_FAILURES", rng.choice([0, 2, 10]).unwrap()),
                ("BREAKER_OPEN_MS", rng.choice([500, 5_000]).unwrap()),
                ("DEADLINE_RESERVE_MS", rng.choice([0, 1_000]).unwrap()),
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
            storm,
            spells: (0..spells).map(|_| Spell::draw(rng, storm, &ids)).collect(),
            bookings,
            rng: rng.fork(),
        }
    }
}

impl Booking {
    /// Of one to three seats that others want too, with up to three tellings of how it ended, and repeats.
    fn in_a_storm(rng: &mut Rng, number: usize, seats: usize, storm: Duration) -> Self {
        let mut hold = Hold {
            reservation_id: format!("r{number}"),
            event_id: "evt_1".to_owned(),
            user_id: rng.bool().then(|| "user_1".to_owned()),
            ..Hold::default()
        };
        match rng.u8(..6) {
            0 => hold.quantity = Some(rng.u32(1..4)),
            _ => {
                let wanted = rng.usize(1..4);
                hold.seat_ids = rng.choose_multiple((0..seats).map(|seat| format!("A-{seat}")), wanted);
            }
        }
        let kinds = [
            &[Kind::Expired, Kind::Approved, Kind::Failed].repeat(3)[..],
            &[Kind::Approved, Kind::Underway, Kind::Poison, Kind::Stray],
        ]
        .concat();
        let mut messages = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let kind = rng.choice(&kinds).copied().unwrap();
            for _ in 0..rng.choice([1, 1, 1, 2, 3]).unwrap() {
                // Most about when the hold ends, some much later.
                let longest = rng.choice([100, 100, 3_000, 3_000, 15_000, 300_000]).unwrap();
                let after = Duration::from_millis(rng.u64(..longest));
                let mut message = events::message(rng, kind, &hold);
                if rng.u8(..4) == 0 {
                    message.group = "shared".to_owned();
                }
                messages.push((after, message));
            }
        }
        let begins = Duration::from_millis(rng.u64(..storm.as_millis() as u64 / 2));
        Self { hold, begins, fault: None, messages }
    }

    /// Of a seat that nobody else wants, told once, with one drop of rain.
    fn in_fair_weather(rng: &mut Rng, number: usize, begins: Duration) -> Self {
        let hold = Hold {
            reservation_id: format!("easy{number}"),
            event_id: "evt_2".to_owned(),
            user_id: Some("user_2".to_owned()),
            seat_ids: vec![format!("B-{number}")],
            quantity: None,
        };
        let kind = rng.choice([Kind::Expired, Kind::Approved, Kind::Failed]).unwrap();
        let message = Message { is_easy: true, ..events::message(rng, kind, &hold) };
        let after = Duration::from_millis(rng.u64(..2_000));
        let fault = rng.bool().then(|| weather::drop(rng, &hold.reservation_id));
        Self { hold, begins, fault, messages: vec![(after, message)] }
    }
}
