//! The clients of the two services, and what they have in common: each has a breaker, and both
//! share the retry budget.

pub mod breaker;
pub mod inventory;
mod limit;
pub mod reservation_api;
pub mod retry;
pub mod silence;

/// How the worker names itself to both services.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
