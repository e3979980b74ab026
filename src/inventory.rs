//! The inventory service: gRPC, owner of the seats (contract section 3).

use std::error::Error as _;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Extensions, Request, Response, Status};
use url::Url;

use crate::breaker::Breaker;
use crate::config::Config;
use crate::reservation::{Id, Seats};
use crate::retry::{Deadline, retry};
use crate::telemetry::call::{self, Call, CallOutcome, Service};
use crate::telemetry::metrics::{ClockReading, Metrics};

mod verdict;

use verdict::Reply;
pub use verdict::{Error, judge};

/// The messages and the client that `build.rs` makes of `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in proto/")]
pub mod proto {
    pub mod common {
        pub mod v1 {
            tonic::include_proto!("common.v1");
        }
    }
    pub mod reservation {
        pub mod v1 {
            tonic::include_proto!("reservation.v1");
        }
    }
}

use proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use proto::reservation::v1::{CommitReservationRequest, ReleaseHoldRequest};

type Client = InventoryServiceClient<Channel>;

/// The client: one channel for the life of the process, connected ahead or when first needed, and again when
/// lost.
#[derive(Debug)]
pub struct Inventory {
    endpoint: Endpoint,
    connector: HttpConnector,
    client: OnceLock<Client>,
    /// Connected ahead, and since when.
    ahead: Mutex<Option<(ClockReading, Client)>>,
    breaker: Breaker,
    metrics: Metrics,
    timeout: Duration,
    address: Url,
}

/// The seats of a reservation, as the inventory knows them.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The reservation that holds them.
    pub reservation_id: &'a Id,
    /// The ticketed event that they belong to.
    pub event_id: &'a Id,
    /// Which, or how many.
    pub seats: &'a Seats,
}

/// Why seats are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseReason {
    /// `EXPIRED`: nobody paid in time.
    Expired,
    /// `FAILED_PAYMENT`.
    FailedPayment,
}

impl Inventory {
    /// Makes the client; must be called within a Tokio runtime. `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When the address or the TLS set-up cannot be used.
    pub fn new(
        config: &Config,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, tonic::transport::Error> {
        let timeout = config.inventory_timeout;
        let mut endpoint = Endpoint::from_shared(config.inventory.to_string())?
            // A peer that vanished while the function was frozen costs one try: a connection that was
            // silent for so long is pinged when a call goes out on it. One that is idle never is, for
            // servers answer that with GOAWAY.
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(timeout);
        if config.inventory.scheme() == "https" {
            let tls = ClientTlsConfig::new().trust_anchors(roots.roots).timeout(HANDSHAKE);
            endpoint = endpoint.tls_config(tls)?;
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(SILENCE));
        connector.set_connect_timeout(Some(timeout));
        // The same for one that vanishes between two calls.
        connector.set_tcp_user_timeout(Some(timeout.max(UNACKNOWLEDGED)));
        Ok(Self {
            endpoint,
            connector,
            client: OnceLock::new(),
            ahead: Mutex::default(),
            breaker: Breaker::new(Service::Inventory, config, metrics.clone()),
            metrics,
            timeout,
            address: config.inventory.clone(),
        })
    }

    /// Connects from `now` on, so that the first call need not. A call that does not wait for it connects by
    /// itself; so does one after a connection that failed, or that was silent for so long that it may be dead:
    /// an environment may be frozen before its first event.
    pub async fn connect(&self, now: ClockReading) {
        let connected = self.endpoint.connect_with_connector(self.connector.clone()).await;
        if let (Ok(channel), None) = (connected, self.client.get()) {
            *self.ahead() = Some((now, Client::new(channel)));
        }
    }

    fn client(&self) -> Client {
        let lazy = || Client::new(self.endpoint.connect_with_connector_lazy(self.connector.clone()));
        let first = || {
            let ahead = self.ahead().take().filter(|(since, _)| ClockReading::now().since(*since) < SILENCE);
            ahead.map_or_else(lazy, |(_, client)| client)
        };
        self.client.get_or_init(first).clone()
    }

    fn ahead(&self) -> MutexGuard<'_, Option<(ClockReading, Client)>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the seats of a hold back.
    ///
    /// # Errors
    ///
    /// [`Error`], which says by its fault whether asking again can help.
    pub async fn release_hold(
        &self,
        held: &Held<'_>,
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
        retry(deadline, async || self.once("ReleaseHold", message(), call).await).await
    }

    /// Sells the seats of a hold.
    ///
    /// # Errors
    ///
    /// [`Error`], which says by its fault whether asking again can help.
    pub async fn commit_reservation(
        &self,
        held: &Held<'_>,
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
        retry(deadline, async || self.once("CommitReservation", message(), call).await).await
    }

    /// One try. Our clock is looked at first: when the channel's own ends a call, it says `CANCELLED`.
    async fn once<M, R: Reply>(
        &self,
        method: &'static str,
        message: M,
        call: impl AsyncFnOnce(Client, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<(), Error> {
        let permit = self.breaker.admit().await?;
        let told = Call::begin(&self.metrics, Service::Inventory, method, &self.address);
        let metadata = MetadataMap::from_headers(told.headers());
        let mut request = Request::from_parts(metadata, Extensions::new(), message);
        request.set_timeout(self.timeout);
        let reply = tokio::select! {
            biased;
            () = tokio::time::sleep(self.timeout) => Err(Status::deadline_exceeded("")),
            reply = call(self.client(), request) => reply.map(Response::into_inner),
        };
        let code = reply.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let unavailable = reply.as_ref().is_err_and(found_unavailable);
        let done = judge(reply);
        let outcome = done.as_ref().map_or_else(CallOutcome::of, |()| CallOutcome::Success);
        let reason = done.as_ref().err().map(|error| error as &dyn Display);
        told.end(call::Status::Grpc(code), outcome, reason);
        permit.settle(unavailable);
        done
    }
}

/// Whether there was no service. A status that has a cause is the client's own: the connection broke.
fn found_unavailable(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) || status.source().is_some()
}

const SILENCE: Duration = Duration::from_secs(10);
/// Longer than a call may take, so that a slow first handshake is finished for the calls after it.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// A second without any acknowledgement is no lost packet any more.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);
