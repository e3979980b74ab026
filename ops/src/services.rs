//! The two services, which this tool can only read: the clients have no other methods, and nothing else in the crate
//! has a client of a service.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use reservation_worker::config::Config;
use reservation_worker::http_client;
use reservation_worker::reservation::Id;
use reservation_worker::services::inventory::proto::reservation::v1::CheckAvailabilityRequest;
use reservation_worker::services::inventory::proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use reservation_worker::services::reservation_api::{self, Reservation, ReservationApi};
use reservation_worker::telemetry::metrics::Metrics;
use sqs_batch::Deadline;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// The shortest time-out of a call. A workstation is farther away from the services than the worker.
const MIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read may be retried.
const RETRY_TIME: Duration = Duration::from_millis(500);
/// A service that does not reply to this number of calls in a row is not called again: each letter would wait for the
/// time-out.
const MAX_UNANSWERED_CALLS: u32 = 20;

/// Read-only clients of both services.
#[derive(Debug)]
pub(crate) struct ReadOnlyServices {
    reservation_api: ReservationApi,
    /// The calls in a row to the reservation API without a reply.
    unanswered_reads: AtomicU32,
    inventory: InventoryServiceClient<Channel>,
    inventory_timeout: Duration,
    /// The calls in a row to the inventory without a reply.
    unanswered_checks: AtomicU32,
}

/// The reply to a question whether seats are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Availability {
    /// The number of requested seats that are free; `None` if the reply does not say.
    pub(crate) free: Option<usize>,
}

impl ReadOnlyServices {
    /// Makes the clients. They connect with their first call.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let roots = config.service_roots(http_client::web_roots());
        let mut api = config.reservation_api.clone();
        api.timeout = api.timeout.max(MIN_TIMEOUT);
        // With a breaker, later letters would not be checked after some failures.
        api.breaker.failures = 0;
        let reservation_api = ReservationApi::new(&api, roots.clone(), Metrics::default())
            .map_err(|error| anyhow::anyhow!("the client of the reservation API: {error}"))?;
        let address = &config.inventory.address;
        let timeout = config.inventory.timeout.max(MIN_TIMEOUT);
        let mut endpoint =
            Endpoint::from_shared(address.to_string())?.connect_timeout(timeout).timeout(timeout);
        if address.scheme() == "https" {
            let tls = ClientTlsConfig::new().trust_anchors(roots.roots);
            endpoint = endpoint.tls_config(tls).context("the TLS of the inventory")?;
        }
        let inventory = InventoryServiceClient::new(endpoint.connect_lazy());
        let (unanswered_reads, unanswered_checks) = (AtomicU32::new(0), AtomicU32::new(0));
        Ok(Self {
            reservation_api,
            unanswered_reads,
            inventory,
            inventory_timeout: timeout,
            unanswered_checks,
        })
    }

    /// `GET` of a reservation.
    pub(crate) async fn reservation(&self, id: &Id) -> Result<Reservation, reservation_api::Error> {
        if self.unanswered_reads.load(Relaxed) >= MAX_UNANSWERED_CALLS {
            return Err(reservation_api::Error::TimedOut);
        }
        let read = self.reservation_api.read(id, Deadline::within(RETRY_TIME)).await;
        let unanswered =
            matches!(read, Err(reservation_api::Error::TimedOut | reservation_api::Error::Unreachable(_)));
        count(&self.unanswered_reads, unanswered);
        read
    }

    /// `CheckAvailability` of seats.
    pub(crate) async fn availability(
        &self,
        event_id: &Id,
        seat_ids: &[String],
        quantity: i32,
    ) -> Result<Availability, Status> {
        let mut request = Request::new(CheckAvailabilityRequest {
            event_id: event_id.to_string(),
            seat_ids: seat_ids.to_vec(),
            quantity,
            section: String::new(),
        });
        request.set_timeout(self.inventory_timeout);
        if self.unanswered_checks.load(Relaxed) >= MAX_UNANSWERED_CALLS {
            return Err(Status::deadline_exceeded(""));
        }
        let reply = self.inventory.clone().check_availability(request).await;
        // A status with a source was made by the client, because there was no reply.
        count(&self.unanswered_checks, reply.as_ref().is_err_and(|status| status.source().is_some()));
        let reply = reply?.into_inner();
        if let Some(error) = reply.error.filter(|error| error.code != 0) {
            return Err(Status::failed_precondition(error.code().as_str_name()));
        }
        let taken = reply.unavailable_seat_ids.len();
        let free = match (seat_ids.is_empty(), reply.available) {
            (true, _) => None,
            (false, true) => Some(seat_ids.len()),
            (false, false) => (taken > 0).then(|| seat_ids.len().saturating_sub(taken)),
        };
        Ok(Availability { free })
    }
}

/// Counts the calls in a row without a reply.
fn count(unanswered: &AtomicU32, is_unanswered: bool) {
    if is_unanswered {
        unanswered.fetch_add(1, Relaxed);
    } else {
        unanswered.store(0, Relaxed);
    }
}
