//! The binary `dead-letters` over moto and the local services.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod apply;
mod arguments;
mod faults;
mod fixture;
mod held;
mod interrupted;
mod list;
mod proxy;
mod restore;
mod what_if;
