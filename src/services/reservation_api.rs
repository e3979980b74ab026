//! The client of the reservation API (REST), which owns the status of a reservation (contract section 3).

use std::fmt::Display;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, RequestBuilder, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use sqs_batch::{ClockReading, Deadline};
use url::Url;

use super::breaker::{Breaker, BreakerSettings, ServiceHealth};
use super::retry::Retry;
use super::silence::Connections;
use crate::call::{AttemptOutcome, ReplyStatus, Service};
use crate::http_client::{self, SILENCE, USER_AGENT};
use crate::reservation::{Ending, Id};
use crate::telemetry::call::AttemptInProgress;
use crate::telemetry::metrics::Metrics;

mod error;
mod reply;
mod token;

pub use error::Error;
pub use reply::{Reply, Reservation};
use token::Authorization;
pub use token::{BearerToken, TokenSource};

const TCP_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How the reservation API is called.
#[derive(Debug, Clone)]
pub struct ReservationApiSettings {
    /// Its address: `http://…` or `https://…`, with or without a path prefix.
    pub base: Url,
    /// The token that is sent with each request.
    pub token: Option<BearerToken>,
    /// Where the token is read again when the API refuses it; `None` if it cannot change.
    pub token_source: Option<TokenSource>,
    /// The time-out of each attempt of a call.
    pub timeout: Duration,
    /// The largest number of idle connections in the pool.
    pub max_idle_connections: usize,
    /// The longest `Retry-After` that is honoured.
    pub longest_retry_after: Duration,
    /// Its breaker.
    pub breaker: BreakerSettings,
    /// Its retries.
    pub retry: Retry,
}

/// The client. It has one connection pool and connects when it is first needed. After a silence it gets a new pool.
#[derive(Debug)]
pub struct ReservationApi {
    connections: Connections<Client>,
    transport: Transport,
    authorization: Authorization,
    clock: fn() -> ClockReading,
    base: Url,
    breaker: Breaker,
    retry: Retry,
    metrics: Metrics,
    longest_retry_after: Duration,
}

/// The settings of each connection pool.
#[derive(Debug)]
struct Transport {
    tls: ClientConfig,
    timeout: Duration,
    max_idle_connections: usize,
}

impl Transport {
    fn new_pool(&self) -> Result<Client, reqwest::Error> {
        http_client::builder(self.tls.clone())
            .default_headers(HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static("application/json"),
            )]))
            .user_agent(USER_AGENT)
            .timeout(self.timeout)
            .tcp_keepalive(TCP_KEEP_ALIVE)
            .tcp_user_timeout(self.timeout) // ends a connection whose peer has vanished between two calls
            .pool_idle_timeout(SILENCE) // a connection may be idle while others are used
            .pool_max_idle_per_host(self.max_idle_connections)
            .build()
    }
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

/// The result of a status update, which requests a [`Transition`]. In both cases the reservation has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum UpdateResult {
    /// The reservation ended as requested. The reply may contain it.
    Done(Reply),
    /// The reservation had already ended, and this is how.
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
        let transport = Transport {
            tls: http_client::tls(roots)?,
            timeout: settings.timeout,
            max_idle_connections: settings.max_idle_connections,
        };
        let connections = Connections::default();
        connections.offer(ClockReading::now(), transport.new_pool()?);
        Ok(Self {
            connections,
            transport,
            authorization: Authorization::new(settings.token.as_ref(), settings.token_source.clone())?,
            clock: ClockReading::now,
            base: settings.base.clone(),
            breaker: Breaker::new(
                Service::ReservationApi,
                settings.breaker,
                settings.timeout,
                metrics.clone(),
            ),
            retry: settings.retry.clone(),
            metrics,
            longest_retry_after: settings.longest_retry_after,
        })
    }

    /// Reads the time from `clock`, to measure silences of the connections.
    pub fn with_clock(self, clock: fn() -> ClockReading) -> Self {
        Self { clock, ..self }
    }

    /// Ends a reservation, or returns how it had already ended.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn end(&self, transition: &Transition<'_>, deadline: Deadline) -> Result<UpdateResult, Error> {
        self.retry.run(deadline, async || self.try_end(transition, deadline).await).await
    }

    /// Reads a reservation.
    ///
    /// # Errors
    ///
    /// [`Error`]. Its class says whether a retry can help.
    pub async fn read(&self, reservation_id: &Id, deadline: Deadline) -> Result<Reservation, Error> {
        self.retry.run(deadline, async || self.try_read(reservation_id, deadline).await).await
    }

    async fn try_end(&self, transition: &Transition<'_>, deadline: Deadline) -> Result<UpdateResult, Error> {
        let Transition { reservation_id, to, payment_intent_id, reason, error_code } = *transition;
        let update = StatusUpdate { status: to.as_str(), payment_intent_id, reason, error_code };
        let reply = self.send(reservation_id, Some(&update), deadline).await?;
        if reply.status.is_success() {
            return Ok(UpdateResult::Done(reply));
        }
        match reply.ending() {
            Some(ending) => Ok(UpdateResult::AlreadyEnded(ending)),
            None if reply.is_conflict() => self.after_conflict(reservation_id, deadline).await,
            None => Err(reply.to_error()),
        }
    }

    /// Reads the reservation after a conflict whose reply does not say how the reservation has ended.
    async fn after_conflict(&self, reservation_id: &Id, deadline: Deadline) -> Result<UpdateResult, Error> {
        match self.try_read(reservation_id, deadline).await?.ending {
            Some(ending) => Ok(UpdateResult::AlreadyEnded(ending)),
            None => Err(Error::NotEnded),
        }
    }

    async fn try_read(&self, reservation_id: &Id, deadline: Deadline) -> Result<Reservation, Error> {
        let reply = self.send(reservation_id, None, deadline).await?;
        if reply.status.is_success() {
            reply.reservation(reservation_id).ok_or(Error::Unreadable)
        } else {
            Err(reply.to_error())
        }
    }

    /// Its breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Updates the status, or reads the reservation if there is no update. Returns the reply, whatever its status.
    async fn send(
        &self,
        reservation_id: &Id,
        update: Option<&StatusUpdate<'_>>,
        deadline: Deadline,
    ) -> Result<Reply, Error> {
        let permit = self.breaker.admit(deadline).await?;
        let token = self.authorization.current();
        let mut reply = self.exchange(reservation_id, update, token.as_ref()).await;
        if reply.as_ref().is_ok_and(|reply| reply.status == StatusCode::UNAUTHORIZED)
            && let Some(newer) = self.authorization.newer_than(token.as_ref(), self.clock).await
        {
            reply = self.exchange(reservation_id, update, Some(&newer)).await;
        }
        permit.complete(match &reply {
            Ok(reply) if reply.status.is_success() => ServiceHealth::Works,
            Ok(reply) => ServiceHealth::of(&reply.to_error()),
            Err(error) => ServiceHealth::of(error),
        });
        reply
    }

    /// Sends one request and reads its reply.
    async fn exchange(
        &self,
        reservation_id: &Id,
        update: Option<&StatusUpdate<'_>>,
        token: Option<&HeaderValue>,
    ) -> Result<Reply, Error> {
        let url = self.url(reservation_id);
        let method = if update.is_some() { "PATCH" } else { "GET" };
        let in_progress = AttemptInProgress::begin(&self.metrics, Service::ReservationApi, method, &url);
        let mut headers = in_progress.headers();
        headers.extend(token.map(|token| (header::AUTHORIZATION, token.clone())));
        let reply = self.request(url, reservation_id, update, headers).await.map_err(Error::from);
        self.connections.attempt_ended((self.clock)());
        match &reply {
            Ok(reply) => {
                let error = (!reply.status.is_success()).then(|| reply.to_error());
                let reason = error.as_ref().map(|error| error as &dyn Display);
                in_progress.end(ReplyStatus::Http(reply.status.as_u16()), reply.outcome(), reason);
            }
            Err(error) => in_progress.end(ReplyStatus::None, AttemptOutcome::of(error), Some(error)),
        }
        reply
    }

    async fn request(
        &self,
        url: Url,
        reservation_id: &Id,
        update: Option<&StatusUpdate<'_>>,
        headers: HeaderMap,
    ) -> Result<Reply, reqwest::Error> {
        let http = self.connections.for_attempt((self.clock)(), || self.transport.new_pool())?;
        let method = if update.is_some() { Method::PATCH } else { Method::GET };
        let mut request = Request::new(method, url);
        // Replacing the map costs less than adding to it.
        *request.headers_mut() = headers;
        let mut request = RequestBuilder::from_parts(http, request);
        if let Some(update) = update {
            let key = format!("{reservation_id}:{}", update.status);
            request = request.header("idempotency-key", key).json(update);
        }
        let response = request.send().await?;
        Ok(Reply::read(response, self.longest_retry_after).await)
    }

    fn url(&self, reservation_id: &Id) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["internal", "reservations", reservation_id.as_str()]);
        }
        url
    }
}
