//! The clock of the function under test. A test moves it forward, and no test waits.

use std::cell::Cell;
use std::time::Duration;

use sqs_batch::ClockReading;

/// The time by which the clocks of the function are ahead of the clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shift {
    pub monotonic: Duration,
    pub wall: Duration,
}

thread_local! {
    /// Each test runs in a thread of its own.
    static SHIFT: Cell<Shift> = Cell::default();
}

impl Shift {
    /// The shifts after which both clocks, or only one of them, show that `time` has passed.
    pub fn all(time: Duration) -> [Self; 3] {
        let none = Duration::ZERO;
        [(time, time), (time, none), (none, time)].map(|(monotonic, wall)| Self { monotonic, wall })
    }
}

/// Moves the clocks forward.
pub fn advance(by: Shift) {
    let now = SHIFT.get();
    SHIFT.set(Shift { monotonic: now.monotonic + by.monotonic, wall: now.wall + by.wall });
}

pub fn now() -> ClockReading {
    let (shift, now) = (SHIFT.get(), ClockReading::now());
    ClockReading { instant: now.instant + shift.monotonic, time: now.time + shift.wall }
}
