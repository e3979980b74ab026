//! Processes the SQS batches of a Lambda function.
//!
//! Lambda sends a function up to 10,000 messages at once and expects a list of those that were not processed
//! (`batchItemFailures`). This crate implements everything between that event and that response, so that a function
//! consists of a [`Handler`]: one record in, one [`Outcome`] out.
//!
//! ```
//! use lambda_runtime::LambdaEvent;
//! use sqs_batch::{BatchProcessor, Deadline, Handler, Record, Settings};
//!
//! struct PrintBody;
//!
//! impl Handler for PrintBody {
//!     type Job = ();
//!     type Outcome = Result<(), &'static str>;
//!
//!     async fn handle(&self, record: &Record, _: &(), _: Deadline) -> Self::Outcome {
//!         println!("{}", record.body.as_deref().ok_or("the record has no body")?);
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let processor = BatchProcessor::new(PrintBody, Settings::default());
//! let payload = r#"{"Records": [{"messageId": "m1", "body": "hello"}, {"messageId": "m2"}]}"#;
//! let event = LambdaEvent::new(serde_json::from_str(payload)?, lambda_runtime::Context::default());
//!
//! let response = processor.handle(event).await?;
//!
//! let returned: Vec<_> = response.batch_item_failures.iter().map(|item| &item.item_identifier).collect();
//! assert_eq!(returned, ["m2"]);
//! # Ok(())
//! # }
//! ```
//!
//! A record passes through these steps: it is read from the event, scheduled, handled and reported to the observer.
//! Then it is either acknowledged or returned with a back-off.

#![forbid(unsafe_code)]

/// The code of the README is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
mod deadline;
mod event;
mod record;

mod handler;
mod outcome;
mod schedule;

mod batch;
mod observer;

mod backoff;
#[cfg(feature = "visibility")]
pub mod visibility;

pub use backoff::Backoff;
pub use batch::{BatchProcessor, Settings};
pub use clock::ClockReading;
pub use deadline::Deadline;
pub use event::NotSqs;
pub use handler::{Handler, Job};
pub use observer::{BatchBegun, BatchFinished, Observer, RecordFinished};
pub use outcome::{Completion, Outcome, Redelivery};
pub use record::{Record, UnusableRecord};
