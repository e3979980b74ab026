//! What a failed call means for its event: every client error answers this one question.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::breaker::Open;
use crate::reason::Reason;

/// What to do about a failure (contract section 3, reply tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The same call may succeed later.
    Transient {
        /// The service's own wish, not to be called before this time is over.
        retry_after: Option<Duration>,
    },
    /// Trying again cannot help: a person must look.
    Rejected,
    /// The service was not called, because it was down a moment ago.
    NotCalled(Open),
}

impl Fault {
    /// A transient fault of a service that did not say when to come back.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };
}

/// An error whose consequence is known.
pub trait Classify {
    /// The consequence.
    fn fault(&self) -> Fault;

    /// What the record is returned for, should it be for this error.
    fn code(&self) -> Reason;
}

/// Why there is no connection or no more of one, as far as it is ours or the machine's to say: what the
/// other side wrote may be anything.
pub fn cause(error: &(dyn Error + 'static)) -> Option<String> {
    let Some(io) = error.downcast_ref::<io::Error>() else { return cause(error.source()?) };
    Some(match io.get_ref() {
        None => io.to_string(),
        Some(inner) if inner.is::<rustls::Error>() => inner.to_string(),
        Some(inner) => cause(inner).unwrap_or_else(|| io.kind().to_string()),
    })
}
