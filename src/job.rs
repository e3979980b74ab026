//! What the worker reads from each record of a batch before it processes the first one.

use std::hash::Hash;
use std::time::SystemTime;

use sqs_batch::Record;

use crate::event::{self, EventType, Hold, ParseError, Parsed};

/// The result of parsing the body of a record.
#[derive(Debug)]
pub struct Job {
    /// The event, or why the body is not one.
    pub parsed: Result<Parsed, ParseError>,
}

impl Job {
    /// The type of the event, if it could be read.
    pub fn event_type(&self) -> Option<EventType> {
        match &self.parsed {
            Ok(parsed) => Some(parsed.event.event_type()),
            Err(error) => error.event_type,
        }
    }

    /// The hold that the event is about, as far as it is known.
    pub fn hold(&self) -> Option<&Hold> {
        self.parsed.as_ref().ok()?.event.hold()
    }

    /// The time that the event itself states, if it could be read.
    pub fn time(&self) -> Option<SystemTime> {
        self.parsed.as_ref().ok()?.time
    }

    /// The `trace_id` in the body, as the producer wrote it.
    pub fn trace_id(&self) -> Option<&str> {
        match &self.parsed {
            Ok(parsed) => parsed.trace_id.as_deref(),
            Err(error) => error.trace_id.as_deref(),
        }
    }
}

impl sqs_batch::Job for Job {
    fn read(record: &Record) -> Self {
        Self { parsed: event::parse(record.body.as_deref()) }
    }

    /// Events of the same reservation are processed in order.
    fn key(&self) -> Option<&str> {
        Some(self.hold()?.reservation_id.as_str())
    }

    /// Events with the same facts are the same event, even if their ids differ.
    fn identity(&self) -> Option<impl Eq + Hash> {
        self.parsed.as_ref().ok().map(|parsed| &parsed.event)
    }
}
