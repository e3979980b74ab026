//! Failure conditions: every class of the contract's reply tables (section 3), lost replies, outages, overload, network
//! failures and frozen processes. A service that reports success has always done the work.

use std::time::Duration;

use fastrand::Rng;
use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Fault, Service};
use strum::VariantArray;

use crate::network::AfterForgetting;

mod outage;
mod replies;

pub use outage::OutageMode;
pub use replies::{lasting_fault, single_fault};

/// A failure condition and the time in which it applies.
#[derive(Debug, Clone)]
pub struct Period {
    pub begins: Duration,
    pub lasts: Duration,
    pub condition: Condition,
}

#[derive(Debug, Clone)]
pub enum Condition {
    /// A service fails calls.
    FaultyService(Fault),
    /// Each piece of data on a link takes up to this many milliseconds.
    SlowLink { link: usize, milliseconds: u64 },
    /// Each piece of data on a link breaks its connection with this probability.
    LossyLink { link: usize, probability: f64 },
    /// A link delivers nothing until the period ends, and then everything that it has kept.
    Partition { link: usize },
    /// All connections of a link are reset once.
    Reset { link: usize },
    /// A link transfers no more than this, so that its latency grows with its load.
    LimitedCapacity { link: usize, bytes_per_second: u32 },
    /// All connections of a link are reset, and new connections are refused.
    Refusal { link: usize },
    /// A service fails all calls in the same way.
    Outage { service: Service, mode: OutageMode },
    /// The queue rejects changes of the visibility time-out, or does not answer.
    FaultyQueue(VisibilityBehaviour),
}

/// A time in which all processes are frozen. It begins when no invocation is in progress. Meanwhile the peers forget
/// all connections.
#[derive(Debug, Clone)]
pub struct Freeze {
    /// The earliest time.
    pub begins: Duration,
    pub lasts: Duration,
    pub after_forgetting: AfterForgetting,
}

/// The links to the reservation API, the inventory and the queue.
pub const LINKS: usize = 3;

impl Period {
    pub fn draw(rng: &mut Rng, failure_phase: Duration, reservation_ids: &[String]) -> Self {
        let begins = Duration::from_millis(rng.u64(..failure_phase.as_millis() as u64));
        let lasts = Duration::from_millis(rng.u64(10..10_000)).min(failure_phase - begins);
        let link = rng.usize(..LINKS);
        let condition = match rng.u8(..14) {
            0..5 => {
                let id = rng.choice(reservation_ids).unwrap();
                let fault = lasting_fault(rng, id);
                let reservation_id = fault.reservation_id.filter(|_| rng.bool());
                let times = rng.bool().then(|| rng.u32(1..8));
                Condition::FaultyService(Fault { reservation_id, times, ..fault })
            }
            5 => Condition::SlowLink { link, milliseconds: rng.choice([5, 50, 300, 2_000]).unwrap() },
            6 => Condition::LossyLink { link, probability: rng.choice([0.01, 0.1, 0.5]).unwrap() },
            7 => Condition::Partition { link },
            8 => Condition::Reset { link },
            9 => Condition::Refusal { link },
            10 => Condition::LimitedCapacity {
                link,
                bytes_per_second: rng.choice([500, 2_000, 10_000]).unwrap(),
            },
            11 | 12 => Condition::outage(rng),
            _ => Condition::FaultyQueue(match rng.u8(..3) {
                0 => {
                    VisibilityBehaviour::CallFails(rng.choice([400, 403, 500, 503]).unwrap(), "InternalError")
                }
                1 => VisibilityBehaviour::EntryFails("/1".to_owned(), "InternalError"),
                _ => VisibilityBehaviour::Hang,
            }),
        };
        Self { begins, lasts, condition }
    }
}

impl Condition {
    /// An outage of one of the two services.
    pub fn outage(rng: &mut Rng) -> Self {
        let service = rng.choice([Service::ReservationApi, Service::Inventory]).unwrap();
        Self::Outage { service, mode: rng.choice(OutageMode::VARIANTS).copied().unwrap() }
    }
}

impl Freeze {
    pub fn draw(rng: &mut Rng, begins: Duration) -> Self {
        Self {
            begins,
            lasts: Duration::from_secs(rng.u64(10..300)),
            after_forgetting: rng.choice([AfterForgetting::DropsData, AfterForgetting::Resets]).unwrap(),
        }
    }
}
