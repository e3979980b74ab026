//! The connection to the inventory service: one HTTP/2 connection that all calls share.
//!
//! tonic's `Channel` would pass each call through a queue to another task, and through services that the worker does not
//! use (docs/decisions.md).

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::ConnectError;
use tonic::body::Body;
use tower::Service;

use crate::services::USER_AGENT;
use crate::services::silence::SILENCE;

type BoxError = Box<dyn Error + Send + Sync>;
type Sender = SendRequest<Body>;

/// The limit for the TCP connection and the TLS handshake together. It is longer than an attempt may take by default, so
/// that a slow first handshake can finish and later attempts can use its connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Sent data may stay unacknowledged for at least this time. With a shorter limit, one lost packet, which TCP sends
/// again, would end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);

/// Connects to the inventory service.
#[derive(Debug)]
pub struct Connector {
    address: Uri,
    /// Makes TCP connections for `http://`, and TLS connections for `https://`.
    stream: HttpsConnector<HttpConnector>,
    http2: Builder<TokioExecutor>,
}

/// A connection that is made with the first call, and again when it was lost. Clones share it.
#[derive(Debug, Clone)]
pub struct Channel {
    connector: Arc<Connector>,
    /// It is locked while the channel connects, so that all calls wait for the same connection.
    sender: Arc<Mutex<Option<Sender>>>,
}

impl Connector {
    /// Connects to `address`. `timeout` is the limit for the TCP connection and for pings. It is also the limit for data
    /// that the peer does not acknowledge, which is at least 1 s.
    pub fn new(address: Uri, tls: ClientConfig, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(SILENCE));
        tcp.set_connect_timeout(Some(timeout));
        // Ends a connection whose peer has disappeared between two calls.
        tcp.set_tcp_user_timeout(Some(timeout.max(UNACKNOWLEDGED)));
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls);
        let mut http2 = Builder::new(TokioExecutor::new());
        // Ends a connection that receives nothing although calls use it. A connection without a call is not pinged,
        // because servers reply to such pings with GOAWAY.
        http2.timer(TokioTimer::new()).keep_alive_interval(SILENCE).keep_alive_timeout(timeout);
        Self { address, stream: tls.https_or_http().enable_http2().wrap_connector(tcp), http2 }
    }

    /// The address of the service.
    pub fn address(&self) -> &Uri {
        &self.address
    }

    async fn connect(&self) -> Result<Sender, BoxError> {
        let stream = timeout(CONNECT_TIMEOUT, self.stream.clone().call(self.address.clone()));
        let (sender, connection) = self.http2.handshake(stream.await??).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Channel {
    /// A channel that is not connected.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, sender: Arc::default() }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which tonic reports as the code `UNAVAILABLE`; another error if connecting panics.
    pub async fn connect(&self) -> Result<Sender, BoxError> {
        let mut current = self.sender.clone().lock_owned().await;
        if let Some(sender) = current.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let connector = self.connector.clone();
        // This is a task of its own, so that a handshake that takes longer than this attempt is finished for later attempts.
        let connecting = tokio::spawn(async move {
            let sender = connector.connect().await.map_err(ConnectError)?;
            Ok(current.insert(sender).clone())
        });
        connecting.await?
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let channel = self.clone();
        async move { Ok(channel.connect().await?.send_request(request).await?) }.boxed()
    }
}
