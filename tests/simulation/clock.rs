//! Simulated time with real sockets.
//!
//! Tokio's paused clock advances to the next timer as soon as no task can run, even if a byte is still in the
//! kernel. Here it only advances after the runtime has polled the sockets several times without any network
//! activity. Loopback delivers a byte within the system call that sends it, so everything between two timers
//! takes no simulated time.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqs_batch::ClockReading;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// The number of polls without network activity before time advances. Two polls lie between two activities
/// that a [`Link`](crate::network::Link) reports: the peer wakes up, and its reply arrives.
const IDLE_POLLS: u32 = 8;

/// Prevents time from advancing while there is network activity.
#[derive(Clone, Default)]
pub struct Clock(Arc<State>);

#[derive(Default)]
struct State {
    idle_polls: AtomicU32,
    /// Wakes a task that does nothing. It makes the runtime poll the sockets without advancing the time.
    idle_task: Mutex<Option<Waker>>,
}

impl Clock {
    /// Reports network activity.
    pub fn report_activity(&self) {
        self.0.idle_polls.store(0, Ordering::Relaxed);
    }

    /// Called when no task can run.
    fn on_idle(&self) {
        if self.0.idle_polls.fetch_add(1, Ordering::Relaxed) < IDLE_POLLS {
            self.0.idle_task.lock().unwrap().iter().for_each(Waker::wake_by_ref);
        } else {
            self.0.idle_polls.store(0, Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// When the world of this thread began, on its own clock.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// For how long its processes have been frozen.
    static FROZEN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The wall clock of the world in this thread. It runs with the simulated time, so that a seed determines all times.
pub fn wall_clock() -> SystemTime {
    let start = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let simulated = |began: Instant| start + began.elapsed() + FROZEN.get();
    BEGAN.get().map_or_else(SystemTime::now, simulated)
}

/// Advances the wall clock and not the monotonic clock, as a process sees it that was frozen.
pub fn freeze(time: Duration) {
    FROZEN.set(FROZEN.get() + time);
}

/// Runs a world to its end in this thread, with its own clock.
pub fn run<F: Future>(world: impl FnOnce(Clock) -> F) -> F::Output {
    let clock = Clock::default();
    // A weak reference, to avoid a cycle: the waker of the idle task refers to the runtime, which owns this
    // hook. With a cycle the sockets of the runtime would never be closed.
    let (weak_state, idle_clock) = (Arc::downgrade(&clock.0), clock.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || weak_state.upgrade().into_iter().for_each(|state| Clock(state).on_idle()))
        .build()
        .unwrap();
    runtime.spawn(poll_fn(move |context| {
        *idle_clock.0.idle_task.lock().unwrap() = Some(context.waker().clone());
        Poll::<()>::Pending
    }));
    ClockReading::simulate_wall_clock(wall_clock);
    let world = world(clock);
    LocalSet::new().block_on(&runtime, async {
        BEGAN.set(Some(Instant::now()));
        FROZEN.set(Duration::ZERO);
        world.await
    })
}
