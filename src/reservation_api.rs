//! The reservation API: REST, owner of a reservation's status (contract section 3).

use std::fmt::Display;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, header};
use rustls::RootCertStore;
use serde::Serialize;
use url::Url;

use crate::breaker::Breaker;
use crate::config::Config;
use crate::http_client;
use crate::reservation::{Ending, Id};
use crate::retry::{Deadline, retry};
use crate::telemetry::call::{Call, CallOutcome, Service, Status};
use crate::telemetry::metrics::Metrics;

mod error;
mod reply;

pub use error::Error;
pub use reply::{Reply, Reservation};

/// The client: one connection pool for the life of the process, connected when first needed.
#[derive(Debug)]
pub struct ReservationApi {
    http: Client,
    base: Url,
    breaker: Breaker,
    metrics: Metrics,
    longest_retry_after: Duration,
}

/// The change of status to ask for.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// Whose status.
    pub reservation_id: &'a Id,
    /// How the hold ends.
    pub to: Ending,
    /// The payment that confirms it.
    pub payment_intent_id: Option<&'a str>,
    /// Why it is cancelled.
    pub reason: Option<&'a str>,
    /// The payment service's word for why.
    pub error_code: Option<&'a str>,
}

/// The answer to a [`Transition`]: either way the reservation has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ended as asked; the reply may hold the reservation.
    Done(Reply),
    /// It had ended before, in this way.
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
    /// Makes the client; `https://` servers are checked against `roots`.
    ///
    /// # Errors
    ///
    /// When the TLS or the HTTP client cannot be set up.
    pub fn new(
        config: &Config,
        roots: RootCertStore,
        metrics: Metrics,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        if let Some(token) = &config.reservation_api_token {
            let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let http = http_client::builder(roots)?
            .default_headers(headers)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .timeout(config.reservation_api_timeout)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_user_timeout(config.reservation_api_timeout) // a peer that vanished while the function was frozen
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.worker_concurrency)
            .build()?;
        Ok(Self {
            http,
            base: config.reservation_api.clone(),
            breaker: Breaker::new(Service::ReservationApi, config, metrics.clone()),
            metrics,
            longest_retry_after: config.backoff_max,
        })
    }

    /// Ends a reservation, or learns how it ended before.
    ///
    /// # Errors
    ///
    /// [`Error`], which says by its fault whether asking again can help.
    pub async fn end(&self, transition: &Transition<'_>, deadline: Deadline) -> Result<Answer, Error> {
        retry(deadline, async || self.try_end(transition).await).await
    }

    /// Reads a reservation.
    ///
    /// # Errors
    ///
    /// [`Error`], which says by its fault whether asking again can help.
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
        match reply.ended() {
            Some(ending) => Ok(Answer::AlreadyEnded(ending)),
            None if reply.status == StatusCode::CONFLICT => self.after_conflict(reservation_id).await,
            None => Err(reply.refused()),
        }
    }

    /// A conflict that does not say with what: the reservation itself says how it stands.
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
            Err(reply.refused())
        }
    }

    /// A successful reply, or one that refuses and may say how the reservation ended.
    async fn send(&self, method: &'static str, url: &Url, request: RequestBuilder) -> Result<Reply, Error> {
        let permit = self.breaker.admit().await?;
        let told = Call::begin(&self.metrics, Service::ReservationApi, method, url);
        match request.headers(told.headers()).send().await.map_err(Error::from) {
            Ok(response) => {
                let reply = Reply::read(response, self.longest_retry_after).await;
                let refusal = (!reply.status.is_success()).then(|| reply.refused());
                let reason = refusal.as_ref().map(|refusal| refusal as &dyn Display);
                told.end(Status::Http(reply.status.as_u16()), reply.outcome(), reason);
                permit.settle(matches!(reply.status.as_u16(), 502..=504));
                Ok(reply)
            }
            Err(error) => {
                told.end(Status::None, CallOutcome::of(&error), Some(&error));
                permit.settle(true);
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

/// Shorter than a load balancer's usual minute, so that we close first.
const IDLE: Duration = Duration::from_secs(50);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
