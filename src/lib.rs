//! The reservation worker: a Lambda function that makes the reservation API and the inventory service consistent after
//! a hold ends.
//!
//! The modules are listed in the order in which a record meets them. A module uses only modules below it, except
//! [`config`], which knows the settings of all of them.

#![forbid(unsafe_code)]

pub mod config;

pub mod worker;
pub mod workflow;

pub mod services;

pub mod telemetry;

pub mod job;
pub mod outcome;

pub mod event;
pub mod reservation;

pub mod call;
pub mod reason;

pub mod aws;
pub mod http_client;
