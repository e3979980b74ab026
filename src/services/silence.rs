//! Connections after silence (contract section 6).
//!
//! Lambda freezes an execution environment between invocations. Meanwhile the peer, or a network device on the way, may
//! close or forget the connections. A call on such a connection gets a reset or no reply at all, and a pool has one
//! connection per concurrent record: without this module the first batch after a freeze fails as a whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqs_batch::ClockReading;

use crate::http_client::SILENCE;

/// The connections to one service: a client `C` that owns them, and the time of the last traffic. A clone of the client
/// shares its connections.
#[derive(Debug)]
pub struct Connections<C>(Mutex<Option<(ClockReading, C)>>);

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<C: Clone> Connections<C> {
    /// The client for an attempt that begins at `now`. After a silence, or if there is no client yet, it is a new one
    /// from `connect`. Attempts in progress on the old client are not affected.
    ///
    /// # Errors
    ///
    /// The error of `connect`.
    pub fn for_attempt<E>(&self, now: ClockReading, connect: impl FnOnce() -> Result<C, E>) -> Result<C, E> {
        let mut current = self.lock();
        let client = match current.take() {
            Some((last, client)) if now.since(last) < SILENCE => client,
            _ => connect()?,
        };
        *current = Some((now, client.clone()));
        Ok(client)
    }

    /// Notes that an attempt ended at `now`. An attempt that lasted as long as a silence is not traffic: the
    /// environment may have been frozen during the attempt.
    pub fn attempt_ended(&self, now: ClockReading) {
        if let Some((last, _)) = &mut *self.lock()
            && now.since(*last) < SILENCE
        {
            *last = now;
        }
    }

    /// Offers a client for the first attempt. It was made at `now`, which counts as its last traffic; it need not be
    /// connected. If there already is a client, it is not replaced.
    pub fn offer(&self, now: ClockReading, client: C) {
        self.lock().get_or_insert((now, client));
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ClockReading, C)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
