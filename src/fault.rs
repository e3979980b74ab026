//! What a failed call means for its event: every client error answers this one question.

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
