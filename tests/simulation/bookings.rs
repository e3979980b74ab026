//! The customers, and the messages that are sent about their holds.

use std::time::Duration;

use fastrand::Rng;
use reservation_worker_local::{Fault, Hold};

use crate::conditions;
use crate::events::{self, Kind, Message};
use crate::plan::{FailureKind, RECOVERY};

/// A customer who holds seats, and the messages that are sent about the hold.
#[derive(Debug)]
pub struct Booking {
    pub hold: Hold,
    pub begins: Duration,
    /// A fault that applies from the time of the hold. If this time is in the failure phase, the fault ends with that
    /// phase at the latest.
    pub fault: Option<Fault>,
    /// The messages, each with the time from the hold until it is sent.
    pub messages: Vec<(Duration, Message)>,
}

impl Booking {
    /// The holds of the failure phase, which compete for seats, and three holds after the recovery.
    pub fn draw_all(rng: &mut Rng, failure_kind: FailureKind, failure_phase: Duration) -> Vec<Self> {
        let (number, seats) = (rng.usize(4..14), rng.usize(3..16));
        let mut bookings: Vec<_> =
            (0..number).map(|number| Self::in_failure_phase(rng, number, seats, failure_phase)).collect();
        if failure_kind == FailureKind::ManyFailures {
            for booking in &mut bookings {
                let id = &booking.hold.reservation_id;
                booking.fault = rng.bool().then(|| conditions::lasting_fault(rng, id));
            }
        }
        bookings.extend((0..3).map(|number| Self::after_recovery(rng, number, failure_phase + RECOVERY)));
        bookings
    }

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
            &[Kind::Approved, Kind::NoWork, Kind::NoWork, Kind::Poison, Kind::UnknownReservation],
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
