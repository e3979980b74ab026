//! What a failed call means for its event: every client error answers this one question.

use std::error::Error;
use std::time::Duration;

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
}

impl Fault {
    /// A transient fault of a service that did not say when to come back.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };
}

/// An error whose consequence is known.
pub trait Faulty {
    /// The consequence.
    fn fault(&self) -> Fault;
}

/// The cause at the bottom: the layers above it say "error sending request", it says why.
pub fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, innermost)
}
