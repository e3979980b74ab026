//! The fuzz targets. Each passes its input to a part of the worker, and checks rules that must hold for every
//! input.
//!
//! `fuzz_targets/` runs the targets with libFuzzer. `tests/suite` runs them with every file of the corpus, on
//! any toolchain.

#![forbid(unsafe_code)]

pub mod event;
pub mod inventory;
pub mod payload;
pub mod reservation_api;
