//! Whole batches in, responses out, against real servers on loopback.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/forgetful_proxy.rs"]
mod forgetful_proxy;
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
#[path = "../shared/sent.rs"]
mod sent;
mod shifted_clock;
#[path = "../shared/spans.rs"]
mod spans;
#[path = "../shared/sqs_event.rs"]
mod sqs_event;
#[path = "../../benches/performance/statistics.rs"]
mod statistics;
mod stopped_clock;
mod table;
mod test_app;
#[path = "../shared/wire.rs"]
mod wire;

mod batch;
mod benchmark;
mod breakers;
mod citations;
mod clients;
mod config;
mod corpus;
mod docs;
mod event_types;
mod events;
mod logs;
mod metrics;
mod properties;
mod rules;
mod seat_replies;
mod smoke_test;
mod status_replies;
mod template;
mod traces;
mod visibility;
mod workflows;
