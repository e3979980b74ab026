//! The engine with a scripted handler, on paused time: no network, no AWS SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod script;

mod backoff;
mod clock;
mod deadline;
mod groups;
mod limits;
mod observer;
mod order;
mod outcome;
mod panics;
mod record;
mod response;
