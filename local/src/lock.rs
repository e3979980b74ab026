//! The lock around every piece of shared state in this crate.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex` even if a thread has panicked while it held the lock. The state is consistent in that case,
/// because no code in this crate panics in the middle of a change.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
