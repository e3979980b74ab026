//! The engine with a scripted handler, on paused time: no network, no AWS SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod script;

mod backoff;
mod deadline;
mod groups;
mod limits;
mod order;
mod panics;
mod response;
