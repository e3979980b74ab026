//! The function behind a queue that speaks SQS's protocol: no event is lost, no seat oversold (contract
//! section 1), whatever fails in between.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod stage;

mod dead_letters;
mod faults;
mod order;
mod outages;
mod races;
