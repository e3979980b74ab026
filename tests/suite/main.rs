//! Whole batches in, responses out, against real servers on loopback.

mod desk;

mod batch;
mod clients;
mod config;
mod events;
mod logs;
mod process;
mod rules;
mod seat_replies;
mod status_replies;
mod workflows;
