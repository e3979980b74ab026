//! The function behind a queue that uses the protocol of SQS. No event is lost and no seat is sold twice
//! (contract section 1), whichever component fails.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod fixture;

mod dead_letters;
mod faults;
mod long_outages;
mod order;
mod outages;
mod races;
