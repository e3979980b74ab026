//! Visibility time-outs of returned records, with a scripted SQS below the client of the SDK, on paused time: no
//! network.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod batch;
mod sqs;

mod entries;
mod failures;
mod queue;
mod recall;
