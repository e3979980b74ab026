//! The reservation worker: a Lambda function that brings the reservation API and the inventory service
//! into agreement after a hold ends.
//!
//! The modules stand in the order in which a record meets them.

#![forbid(unsafe_code)]

pub mod config;

pub mod batch;
pub mod record;
pub mod schedule;

pub mod event;
pub mod reservation;
pub mod worker;
pub mod workflow;

pub mod inventory;
pub mod reservation_api;

pub mod breaker;
pub mod fault;
pub mod retry;

pub mod aws;
pub mod http_client;
pub mod outcome;
pub mod reason;
pub mod telemetry;
pub mod visibility;
