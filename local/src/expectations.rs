//! The sample events in `events/*.json` and the results that `events/expected/expectations.json` defines for
//! them.
//!
//! The demo compares the results of the function under `cargo lambda` with the expected ones. The tests do
//! the same under a plain Runtime API.

mod case;
mod check;
mod sample;

pub use case::{Case, Given, LoadError, load};
pub use check::{CaseReport, RecordReport, Summary};
pub use sample::Sample;
