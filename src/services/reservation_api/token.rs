//! The bearer token of the reservation API, and its rotation (contract section 7).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use sqs_batch::ClockReading;

/// The shortest time between two reads of the token.
const BETWEEN_READS: Duration = Duration::from_secs(30);

/// A bearer token. It is sent to the reservation API and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

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

/// Where a token that may have been rotated is read again.
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn() -> BoxFuture<'static, Result<BearerToken, String>> + Send + Sync>);

impl TokenSource {
    /// `read` returns the current token, or the reason why it cannot be read. The reason is logged.
    pub fn new<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<BearerToken, String>> + Send + 'static,
    {
        Self(Arc::new(move || read().boxed()))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// The header `Authorization` of the requests.
#[derive(Debug)]
pub(super) struct Authorization {
    current: Mutex<Option<HeaderValue>>,
    source: Option<TokenSource>,
    /// When the token was last read again. It is locked during a read, so that concurrent records share one read.
    last_read: tokio::sync::Mutex<Option<ClockReading>>,
}

impl Authorization {
    pub(super) fn new(
        token: Option<&BearerToken>,
        source: Option<TokenSource>,
    ) -> Result<Self, InvalidHeaderValue> {
        let current = Mutex::new(token.map(header).transpose()?);
        Ok(Self { current, source, last_read: tokio::sync::Mutex::default() })
    }

    pub(super) fn current(&self) -> Option<HeaderValue> {
        self.lock().clone()
    }

    /// The header with a newer token than `refused`, if there is one. The token is read again, at most once per 30 s.
    pub(super) async fn newer_than(
        &self,
        refused: Option<&HeaderValue>,
        clock: fn() -> ClockReading,
    ) -> Option<HeaderValue> {
        let source = self.source.as_ref()?;
        let mut last_read = self.last_read.lock().await;
        let is_newer = |header: &HeaderValue| Some(header) != refused;
        if let Some(newer) = self.current().filter(is_newer) {
            return Some(newer);
        }
        let now = clock();
        if last_read.is_some_and(|last| now.since(last) < BETWEEN_READS) {
            return None;
        }
        *last_read = Some(now);
        let read = (source.0)().await;
        match read.and_then(|token| header(&token).map_err(|error| error.to_string())) {
            Ok(read) => {
                *self.lock() = Some(read.clone());
                Some(read).filter(is_newer)
            }
            Err(reason) => {
                tracing::warn!(reason, "the token of the reservation API could not be read again");
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header(token: &BearerToken) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    header.set_sensitive(true);
    Ok(header)
}
