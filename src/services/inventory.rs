//! The client of the inventory service (gRPC), which owns the seats (contract section 3).

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use sqs_batch::{ClockReading, Deadline};
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Response, Status};
use url::Url;

use super::breaker::{Breaker, BreakerSettings, ServiceHealth};
use super::retry::Retry;
use super::silence::Connections;
use crate::call::{AttemptOutcome, ReplyStatus, Service};
use crate::grpc_channel::{Channel, Connector};
use crate::http_client;
use crate::reservation::{Id, Seats};
use crate::telemetry::call::AttemptInProgress;
use crate::telemetry::metrics::Metrics;

mod codec;
pub mod proto;
mod reply;

use reply::ReplyBody;
pub use reply::{Error, classify};

use proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use proto::reservation::v1::{CommitReservationRequest, ReleaseHoldRequest};

type Client = InventoryServiceClient<Channel>;

/// Sent data and pings may stay unacknowledged for at least this time. With a shorter limit, one lost packet, which TCP
/// sends again, would end the connection.
const MIN_UNACKNOWLEDGED_TIME: Duration = Duration::from_secs(1);

/// How the inventory is called.
#[derive(Debug, Clone)]
pub struct InventorySettings {
    /// Its address: `http://host:port` (plain text) or `https://…` (TLS).
    pub address: Url,
    /// The time-out of each attempt of a call.
    pub timeout: Duration,
    /// Its breaker.
    pub breaker: BreakerSettings,
    /// Its retries.
    pub retry: Retry,
}

/// The client. It has one channel, which connects before or with the first call, and again when the connection is
/// lost. After a silence it gets a new channel.
#[derive(Debug)]
pub struct Inventory {
    connector: Arc<Connector>,
    connections: Connections<Client>,
    clock: fn() -> ClockReading,
    breaker: Breaker,
    retry: Retry,
    metrics: Metrics,
    timeout: Duration,
    address: Url,
}

/// The seats of a reservation, as the inventory identifies them.
#[derive(Debug, Clone, Copy)]
pub struct HeldSeats<'a> {
    /// The reservation that holds them.
    pub reservation_id: &'a Id,
    /// The ticketed event of the seats.
    pub event_id: &'a Id,
    /// The seat ids, or only the number of seats.
    pub seats: &'a Seats,
}

/// Why seats are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseReason {
    /// `EXPIRED`: the hold ended without a payment.
    Expired,
    /// `FAILED_PAYMENT`: the payment failed.
    FailedPayment,
}

impl Inventory {
    /// Makes the client. `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When the address or the TLS configuration cannot be used.
    pub fn new(
        settings: &InventorySettings,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let timeout = settings.timeout;
        let (address, tls) = (settings.address.as_str().parse()?, http_client::tls(roots)?);
        let connector = Connector::new(address, tls, timeout, timeout.max(MIN_UNACKNOWLEDGED_TIME));
        Ok(Self {
            connector: Arc::new(connector),
            connections: Connections::default(),
            clock: ClockReading::now,
            breaker: Breaker::new(Service::Inventory, settings.breaker, settings.timeout, metrics.clone()),
            retry: settings.retry.clone(),
            metrics,
            timeout,
            address: settings.address.clone(),
        })
    }

    /// Reads the time from `clock`, to measure silences of the connection.
    pub fn with_clock(self, clock: fn() -> ClockReading) -> Self {
        Self { clock, ..self }
    }

    /// Connects before the first call. The first call makes a new connection if this one is not ready, has failed, or
    /// was silent for so long that it may be dead: an environment may be frozen before its first event.
    pub async fn connect(&self) {
        let began = (self.clock)();
        let channel = Channel::new(self.connector.clone());
        if channel.connect().await.is_ok() {
            self.connections.offer(began, self.client_on(channel));
        }
    }

    fn client(&self) -> Client {
        let new = || Ok::<_, Infallible>(self.client_on(Channel::new(self.connector.clone())));
        let Ok(client) = self.connections.for_attempt((self.clock)(), new);
        client
    }

    fn client_on(&self, channel: Channel) -> Client {
        Client::with_origin(channel, self.connector.address().clone())
    }

    /// Its breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Releases the seats of a hold.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn release_hold(
        &self,
        held: &HeldSeats<'_>,
        reason: ReleaseReason,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let message = || ReleaseHoldRequest {
            reservation_id: held.reservation_id.to_string(),
            event_id: held.event_id.to_string(),
            seat_ids: held.seats.ids().to_vec(),
            quantity: held.seats.quantity(),
            reason: match reason {
                ReleaseReason::Expired => "EXPIRED",
                ReleaseReason::FailedPayment => "FAILED_PAYMENT",
            }
            .to_owned(),
            idempotency_key: format!("{}:RELEASE", held.reservation_id),
        };
        let call = async |mut client: Client, request| client.release_hold(request).await;
        let attempt = async || self.attempt("ReleaseHold", message(), call, deadline).await;
        self.retry.run(deadline, attempt).await
    }

    /// Sells the seats of a hold.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn commit_reservation(
        &self,
        held: &HeldSeats<'_>,
        payment_intent_id: &str,
        user_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let message = || CommitReservationRequest {
            reservation_id: held.reservation_id.to_string(),
            event_id: held.event_id.to_string(),
            seat_ids: held.seats.ids().to_vec(),
            quantity: held.seats.quantity(),
            payment_intent_id: payment_intent_id.to_owned(),
            user_id: user_id.unwrap_or_default().to_owned(),
            idempotency_key: format!("{}:COMMIT", held.reservation_id),
        };
        let call = async |mut client: Client, request| client.commit_reservation(request).await;
        let attempt = async || self.attempt("CommitReservation", message(), call, deadline).await;
        self.retry.run(deadline, attempt).await
    }

    /// Makes one attempt, and ends it at the time-out. `set_timeout` ends nothing: it only tells the service the
    /// time-out, in the header `grpc-timeout`.
    async fn attempt<M, R: ReplyBody>(
        &self,
        method: &'static str,
        message: M,
        call: impl AsyncFnOnce(Client, Request<M>) -> Result<Response<R>, Status>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let permit = self.breaker.admit(deadline).await?;
        let in_progress = AttemptInProgress::begin(&self.metrics, Service::Inventory, method, &self.address);
        let metadata = MetadataMap::from_headers(in_progress.headers());
        let mut request = Request::from_parts(metadata, Extensions::new(), message);
        request.set_timeout(self.timeout);
        let reply = tokio::select! {
            biased;
            () = tokio::time::sleep(self.timeout) => Err(Status::deadline_exceeded("")),
            reply = call(self.client(), request) => reply.map(Response::into_inner),
        };
        self.connections.attempt_ended((self.clock)());
        let code = reply.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let done = classify(reply);
        let outcome = done.as_ref().map_or_else(AttemptOutcome::of, |()| AttemptOutcome::Success);
        let reason = done.as_ref().err().map(|error| error as &dyn Display);
        in_progress.end(ReplyStatus::Grpc(code), outcome, reason);
        permit.complete(done.as_ref().map_or_else(ServiceHealth::of, |()| ServiceHealth::Works));
        done
    }
}
