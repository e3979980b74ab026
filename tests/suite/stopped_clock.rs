//! A clock that a test stops.

use std::sync::mpsc;

/// While this value exists, Tokio's clock stands still: no time-out expires, however slow the machine is. The test
/// moves the clock with `tokio::time::advance`.
pub struct StoppedClock {
    _stopped: mpsc::Sender<()>,
}

impl StoppedClock {
    pub fn new() -> Self {
        let (stopped, dropped) = mpsc::channel();
        tokio::time::pause();
        // A paused clock advances by itself when all tasks wait, for example for a reply from the network, but not
        // while a blocking task runs.
        tokio::task::spawn_blocking(move || dropped.recv());
        Self { _stopped: stopped }
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
