//! Reads the records of an SQS event.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::Diagnostic;
use serde_json::value::RawValue;

use crate::record::{Record, UnusableRecord};

/// The payload of an invocation is not an SQS event. The error contains no text of the payload.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotSqs {
    /// The payload is not JSON of the shape of an SQS event.
    #[error("the payload is not an SQS event, at line {line} column {column}")]
    Event {
        /// The line at which reading ended, from 1.
        line: usize,
        /// The column at which reading ended, from 1.
        column: usize,
    },
    /// A record is not from SQS or has no message id, so it could not be returned to the queue.
    #[error(transparent)]
    Record(#[from] UnusableRecord),
}

impl NotSqs {
    /// The `errorType` that is reported to Lambda.
    pub const ERROR_TYPE: &str = "NotSqs";
}

impl From<serde_json::Error> for NotSqs {
    fn from(error: serde_json::Error) -> Self {
        Self::Event { line: error.line(), column: error.column() }
    }
}

/// The error that is reported to Lambda.
impl From<NotSqs> for Diagnostic {
    fn from(error: NotSqs) -> Self {
        Self { error_type: NotSqs::ERROR_TYPE.to_owned(), error_message: error.to_string() }
    }
}

/// The records of an event, in order.
///
/// # Errors
///
/// [`NotSqs`] when the payload is not an SQS event.
pub(crate) fn records(payload: &RawValue) -> Result<Vec<Record>, NotSqs> {
    let event: SqsEvent = serde_json::from_str(payload.get())?;
    let records = event.records.into_iter().enumerate();
    Ok(records.map(|(index, message)| Record::new(index, message)).collect::<Result<_, _>>()?)
}
