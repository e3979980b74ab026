//! One record: its body read, its event handed to the workflow, its log lines named.

use opentelemetry::KeyValue;
use rustls::RootCertStore;
use tracing::{Span, error_span};

use crate::batch::{Handler, Job};
use crate::config::Config;
use crate::event::{self, Event, EventType, Hold, ParseError, Parsed};
use crate::inventory::Inventory;
use crate::outcome::{Ended, Outcome};
use crate::record::Record;
use crate::reservation_api::ReservationApi;
use crate::retry::Deadline;
use crate::telemetry::metrics::{ClockReading, Metrics};
use crate::telemetry::traces::Parent;
use crate::telemetry::traces::describe::own;
use crate::workflow::Workflow;

/// The handler of the deployed function.
#[derive(Debug)]
pub struct Worker {
    workflow: Workflow,
}

/// A record's body, understood or not, and the span that it comes from.
#[derive(Debug)]
pub struct Reading {
    parsed: Result<Parsed, ParseError>,
    producer: Option<Parent>,
}

impl Reading {
    fn hold(&self) -> Option<&Hold> {
        self.parsed.as_ref().ok().map(|parsed| parsed.event.hold())
    }

    fn event_type(&self) -> Option<EventType> {
        self.parsed.as_ref().map_or_else(|error| error.event_type, |parsed| Some(parsed.event.event_type()))
    }
}

impl Worker {
    /// Makes the clients of both services, which connect when first needed or [ahead](Self::connect); must be
    /// called within a Tokio runtime. `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When a client cannot be set up.
    pub fn new(
        config: &Config,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let inventory = Inventory::new(config, roots.clone(), metrics.clone())?;
        let reservation_api = ReservationApi::new(config, roots, metrics)?;
        Ok(Self { workflow: Workflow { reservation_api, inventory } })
    }

    /// Connects to the inventory, which takes a connection without a call; the reservation API's client has
    /// none before its first call.
    pub async fn connect(&self, now: ClockReading) {
        self.workflow.inventory.connect(now).await;
    }
}

impl Handler for Worker {
    type Job = Reading;

    fn read(&self, record: &Record) -> Reading {
        let parsed = event::parse(record.body.as_deref());
        let in_body = parsed.as_ref().map_or_else(|error| &error.trace_id, |parsed| &parsed.trace_id);
        let producer = Parent::producer(record, in_body.as_deref());
        Reading { parsed, producer }
    }

    async fn work(&self, reading: &Reading, deadline: Deadline) -> Outcome {
        match &reading.parsed {
            Ok(parsed) => {
                if parsed.quantity_disagrees {
                    tracing::warn!("the quantity disagrees with the seats: the seats win");
                }
                self.workflow.run(&parsed.event, deadline).await
            }
            Err(error) => Outcome::InvalidPayload(error.to_string()),
        }
    }
}

impl Job for Reading {
    type Identity = Event;

    fn lane(&self) -> Option<(&str, &Event)> {
        let event = &self.parsed.as_ref().ok()?.event;
        Some((event.hold().reservation_id.as_str(), event))
    }

    fn span(&self, record: &Record) -> Span {
        let hold = self.hold();
        // Of the level that no filter takes away, so that every line says whose it is.
        error_span!(
            "record",
            message_id = record.message_id,
            attempt = record.receive_count,
            event_type = self.event_type().map_or("unknown", |event_type| event_type.as_str()),
            reservation_id = hold.map(|hold| hold.reservation_id.as_str()),
            event_id = hold.and_then(|hold| hold.event_id.as_ref()).map(|id| id.as_str()),
        )
    }

    fn producer(&self) -> Option<&Parent> {
        self.producer.as_ref()
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let event_type = self.event_type().map(|event_type| (own::EVENT_TYPE, event_type.as_str()));
        let reservation_id = self.hold().map(|hold| (own::RESERVATION_ID, hold.reservation_id.as_str()));
        let known = event_type.into_iter().chain(reservation_id);
        known.map(|(key, value)| KeyValue::new(key, value.to_owned())).collect()
    }

    fn tell(&self, ended: Ended<'_>, metrics: &Metrics) {
        ended.tell(self.event_type(), metrics);
    }
}
