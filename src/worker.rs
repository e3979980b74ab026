//! The handler of the deployed function: a record in, an outcome out.

use std::time::Duration;

use rustls::RootCertStore;
use sqs_batch::{BatchProcessor, ClockReading, Deadline, Handler, Observer, Record};
use strum::VariantArray;

use crate::call::NotCalledCause;
use crate::job::Job;
use crate::outcome::Outcome;
use crate::services::breaker::Breaker;
use crate::services::inventory::{Inventory, InventorySettings};
use crate::services::reservation_api::{ReservationApi, ReservationApiSettings};
use crate::telemetry::metrics::Metrics;
use crate::workflow::Workflow;

/// How long recalling records may take after a response. The next invocation may wait meanwhile.
const RECALL_TIME: Duration = Duration::from_secs(2);

/// The handler of the deployed function.
#[derive(Debug)]
pub struct Worker {
    workflow: Workflow,
}

impl Worker {
    /// Makes the clients of both services. A client connects with its first call; the client of the inventory can
    /// [connect earlier](Self::connect). `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When a client cannot be set up.
    pub fn new(
        reservation_api: &ReservationApiSettings,
        inventory: &InventorySettings,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let inventory = Inventory::new(inventory, roots.clone(), metrics.clone())?;
        let reservation_api = ReservationApi::new(reservation_api, roots, metrics)?;
        Ok(Self { workflow: Workflow { reservation_api, inventory } })
    }

    /// Reads the time from `clock` to measure silences of connections. The default is [`ClockReading::now`].
    pub fn with_clock(self, clock: fn() -> ClockReading) -> Self {
        let Workflow { reservation_api, inventory } = self.workflow;
        let (reservation_api, inventory) = (reservation_api.with_clock(clock), inventory.with_clock(clock));
        Self { workflow: Workflow { reservation_api, inventory } }
    }

    /// Connects to the inventory before the first call. The client of the reservation API cannot connect without a
    /// call.
    pub async fn connect(&self) {
        self.workflow.inventory.connect().await;
    }
}

/// Recalls the records that wait for a service that has recovered, or for the end of a limit that has ended. It must be
/// called after each response. It takes at most 2 s and never more than `time_left`; the remaining records are recalled
/// after the next response.
pub async fn recall(processor: &BatchProcessor<Worker, impl Observer<Worker>>, time_left: Duration) {
    let deadline = Deadline::within(time_left.min(RECALL_TIME));
    for breaker in processor.handler().breakers() {
        for cause in NotCalledCause::VARIANTS.iter().filter(|cause| breaker.needs_recall(**cause)) {
            let service = breaker.service();
            let recalled = processor.recall(cause.recall_cause(service), deadline.left()).await;
            if recalled.unanswered == 0 {
                breaker.recall_completed(*cause);
            }
            if recalled.accepted > 0 {
                let (service, records) = (service.as_str(), recalled.accepted);
                tracing::info!(service, records, "records recalled");
            }
        }
    }
}

impl Worker {
    fn breakers(&self) -> [&Breaker; 2] {
        [self.workflow.reservation_api.breaker(), self.workflow.inventory.breaker()]
    }
}

impl Handler for Worker {
    type Job = Job;
    type Outcome = Outcome;

    async fn handle(&self, _: &Record, job: &Job, deadline: Deadline) -> Outcome {
        match &job.parsed {
            Ok(parsed) => {
                if parsed.quantity_disagrees {
                    tracing::warn!("the quantity disagrees with the number of seats: the seats are used");
                }
                self.workflow.run(&parsed.event, deadline).await
            }
            Err(error) => Outcome::InvalidPayload(error.to_string()),
        }
    }

    /// An open breaker or a limit of attempts, if there is one, is the reason why no time was left for the record.
    fn out_of_time(&self) -> Option<Outcome> {
        let breakers = self.breakers();
        let open = breakers.into_iter().find_map(Breaker::open_reason);
        open.or_else(|| breakers.into_iter().find_map(Breaker::limit_reason)).map(Outcome::Deferred)
    }
}
