//! What each fuzz target does with an input, and what must hold whatever the input is.
//!
//! `fuzz_targets/` runs them with libFuzzer, `tests/suite` with every file of the corpus on any toolchain.

#![forbid(unsafe_code)]

pub mod event;
pub mod inventory;
pub mod payload;
pub mod reservation_api;
