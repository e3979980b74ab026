//! The client of the reservation API (REST), which owns the status of a reservation (contract section 3).

use std::fmt::{self, Display};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, header};
use rustls::RootCertStore;
use serde::Serialize;
use sqs_batch::Deadline;
use url::Url;

use super::breaker::{Breaker, BreakerSettings};
use super::retry::retry;
use crate::call::{CallOutcome, ReplyStatus, Service};
use crate::http_client;
use crate::reservation::{Ending, Id};
use crate::telemetry::call::CallInProgress;
use crate::telemetry::metrics::Metrics;

mod error;
mod reply;

pub use error::Error;
pub use reply::{Reply, Reservation};

/// Idle connections are closed after this time, which is shorter than the usual minute of a load balancer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How the reservation API is called.
#[derive(Debug, Clone)]
pub struct ReservationApiSettings {
    /// Its address: `http://…` or `https://…`, with or without a path prefix.
    pub base: Url,
    /// The token that is sent with each request.
    pub token: Option<BearerToken>,
    /// The time-out of each attempt of a call.
    pub timeout: Duration,
    /// The largest number of idle connections in the pool.
    pub connections: usize,
    /// The longest `Retry-After` that is honoured.
    pub longest_retry_after: Duration,
    /// Its breaker.
    pub breaker: BreakerSettings,
}

/// A bearer token. It is sent to the reservation API and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

/// The client. It has one connection pool for the life of the process, and connects when it is first needed.
#[derive(Debug)]
pub struct ReservationApi {
    http: Client,
    base: Url,
    breaker: Breaker,
    metrics: Metrics,
    longest_retry_after: Duration,
}

/// A requested change of status.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// The reservation.
    pub reservation_id: &'a Id,
    /// The requested status.
    pub to: Ending,
    /// The payment that confirms it.
    pub payment_intent_id: Option<&'a str>,
    /// Why it is cancelled.
    pub reason: Option<&'a str>,
    /// The error code of the payment service.
    pub error_code: Option<&'a str>,
}

/// The answer to a [`Transition`]. In both cases the reservation has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ended as requested. The reply may contain the reservation.
    Done(Reply),
    /// It had already ended in this way.
    AlreadyEnded(Ending),
}

#[derive(Serialize)]
struct StatusUpdate<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
}

impl BearerToken {
    /// Wraps a token.
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself. Only the code that sends it may call this.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl ReservationApi {
    /// Makes the client. `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When the TLS or the HTTP client cannot be set up.
    pub fn new(
        settings: &ReservationApiSettings,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        if let Some(token) = &settings.token {
            let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let http = http_client::builder(roots)?
            .default_headers(headers)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .tcp_keepalive(TCP_KEEP_ALIVE)
            .tcp_user_timeout(settings.timeout) // for a peer that vanished while the function was frozen
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(settings.connections)
            .build()?;
        Ok(Self {
            http,
            base: settings.base.clone(),
            breaker: Breaker::new(Service::ReservationApi, settings.breaker, metrics.clone()),
            metrics,
            longest_retry_after: settings.longest_retry_after,
        })
    }

    /// Ends a reservation, or returns how it had already ended.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn end(&self, transition: &Transition<'_>, deadline: Deadline) -> Result<Answer, Error> {
        retry(deadline, async || self.try_end(transition).await).await
    }

    /// Reads a reservation.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn read(&self, reservation_id: &Id, deadline: Deadline) -> Result<Reservation, Error> {
        retry(deadline, async || self.try_read(reservation_id).await).await
    }

    async fn try_end(&self, transition: &Transition<'_>) -> Result<Answer, Error> {
        let Transition { reservation_id, to, payment_intent_id, reason, error_code } = *transition;
        let update = StatusUpdate { status: to.as_str(), payment_intent_id, reason, error_code };
        let url = self.url(reservation_id);
        let request = self
            .http
            .patch(url.clone())
            .header("idempotency-key", format!("{reservation_id}:{to}"))
            .json(&update);
        let reply = self.send("PATCH", &url, request).await?;
        if reply.status.is_success() {
            return Ok(Answer::Done(reply));
        }
        match reply.ending() {
            Some(ending) => Ok(Answer::AlreadyEnded(ending)),
            None if reply.status == StatusCode::CONFLICT => self.after_conflict(reservation_id).await,
            None => Err(reply.to_error()),
        }
    }

    /// Reads the reservation after a conflict whose reply does not say how the reservation has ended.
    async fn after_conflict(&self, reservation_id: &Id) -> Result<Answer, Error> {
        match self.try_read(reservation_id).await?.ending {
            Some(ending) => Ok(Answer::AlreadyEnded(ending)),
            None => Err(Error::NotEnded),
        }
    }

    async fn try_read(&self, reservation_id: &Id) -> Result<Reservation, Error> {
        let url = self.url(reservation_id);
        let reply = self.send("GET", &url, self.http.get(url.clone())).await?;
        if reply.status.is_success() {
            reply.reservation(reservation_id).ok_or(Error::Unreadable)
        } else {
            Err(reply.to_error())
        }
    }

    /// Sends a request and returns the reply, whatever its status.
    async fn send(&self, method: &'static str, url: &Url, request: RequestBuilder) -> Result<Reply, Error> {
        let permit = self.breaker.admit().await?;
        let call = CallInProgress::begin(&self.metrics, Service::ReservationApi, method, url);
        match request.headers(call.headers()).send().await.map_err(Error::from) {
            Ok(response) => {
                let reply = Reply::read(response, self.longest_retry_after).await;
                let error = (!reply.status.is_success()).then(|| reply.to_error());
                let reason = error.as_ref().map(|error| error as &dyn Display);
                call.end(ReplyStatus::Http(reply.status.as_u16()), reply.outcome(), reason);
                permit.complete(matches!(reply.status.as_u16(), 502..=504));
                Ok(reply)
            }
            Err(error) => {
                call.end(ReplyStatus::None, CallOutcome::of(&error), Some(&error));
                permit.complete(true);
                Err(error)
            }
        }
    }

    fn url(&self, reservation_id: &Id) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["internal", "reservations", reservation_id.as_str()]);
        }
        url
    }
}
