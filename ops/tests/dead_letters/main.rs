//! The binary `dead-letters` over moto and the local services.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod apply;
mod arguments;
mod endpoint;
mod faults;
mod fixture;
mod hidden;
mod incomplete;
mod insights;
mod interrupted;
mod list;
mod log;
mod proxy;
mod restore;
mod stack;
mod what_if;
