//! The clients of the two services, and what they have in common: each has a breaker, and both
//! share the retry budget.

pub mod breaker;
pub mod inventory;
mod limit;
pub mod reservation_api;
pub mod retry;
pub mod silence;
