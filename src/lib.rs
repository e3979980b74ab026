//! The reservation worker: a Lambda function that makes the reservation API and the inventory service consistent
//! after a hold ends.
//!
//! A module imports only modules that are listed below it. [`config`] is near the top, because it composes the settings
//! of the others.

#![forbid(unsafe_code)]

pub mod function;

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
pub mod grpc_channel;
pub mod http_client;
