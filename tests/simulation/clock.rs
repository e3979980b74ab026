//! Simulated time over real sockets.
//!
//! Tokio's paused clock jumps to the next timer as soon as no task can run, even if a byte is on its way
//! through the kernel. Here it may jump only when the sockets were looked at and nothing moved on them. As
//! loopback delivers within the call that sends, what happens between two timers then takes no time at all.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Looks at the sockets that must find nothing before time passes. Between two movements that the network
/// knows of lie two: a peer wakes up, and its answer arrives.
const LOOKS: u32 = 8;

/// Keeps time from passing while something moves.
#[derive(Clone, Default)]
pub struct Clock(Arc<State>);

#[derive(Default)]
struct State {
    looks: AtomicU32,
    /// Of a task that does nothing: woken, it makes the runtime look at the sockets and stay where it is.
    idler: Mutex<Option<Waker>>,
}

impl Clock {
    /// Something moved on the network.
    pub fn moved(&self) {
        self.0.looks.store(0, Ordering::Relaxed);
    }

    /// No task can run.
    fn idle(&self) {
        if self.0.looks.fetch_add(1, Ordering::Relaxed) < LOOKS {
            self.0.idler.lock().unwrap().iter().for_each(Waker::wake_by_ref);
        } else {
            self.0.looks.store(0, Ordering::Relaxed);
        }
    }
}

/// Runs a world to its end on a clock of its own, in this thread.
pub fn run<F: Future>(world: impl FnOnce(Clock) -> F) -> F::Output {
    let clock = Clock::default();
    // Weak: the idler's waker holds the runtime, and with it this hook, whose sockets would stay open for ever.
    let (parked, idled) = (Arc::downgrade(&clock.0), clock.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || parked.upgrade().into_iter().for_each(|state| Clock(state).idle()))
        .build()
        .unwrap();
    runtime.spawn(poll_fn(move |context| {
        *idled.0.idler.lock().unwrap() = Some(context.waker().clone());
        Poll::<()>::Pending
    }));
    let world = world(clock);
    LocalSet::new().block_on(&runtime, world)
}
