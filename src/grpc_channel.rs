//! A connection for gRPC: one HTTP/2 connection that all calls share.
//!
//! tonic's `Channel` would pass each call through queues to two other tasks, and through services that the worker does
//! not use (docs/decisions.md).

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use h2::RecvStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::ConnectError;
use tonic::body::Body;
use tower::Service;

use crate::http_client::{SILENCE, USER_AGENT};

mod keep_alive;

use keep_alive::{CallInProgress, Calls};

type BoxError = Box<dyn Error + Send + Sync>;

/// The limit for the TCP connection and the TLS handshake together. It is longer than an attempt may take by default,
/// so that a slow first handshake can finish and later attempts can use its connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to a service.
#[derive(Debug)]
pub struct Connector {
    address: Uri,
    /// Makes TCP connections for `http://`, and TLS connections for `https://`.
    stream: HttpsConnector<HttpConnector>,
    http2: Builder,
    /// The limit for data that the peer does not acknowledge, and for its replies to pings.
    unacknowledged: Duration,
}

/// Connects when it is first needed, and again when its connection was lost. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Channel {
    connector: Arc<Connector>,
    /// It is locked while a call waits for a connection or for the peer's permission. So all calls wait for the same
    /// connection, and the request of a call that ends meanwhile is not sent.
    connection: Arc<Mutex<Option<Connection>>>,
}

/// An HTTP/2 connection.
#[derive(Debug)]
struct Connection {
    requests: SendRequest<Bytes>,
    calls: Arc<Calls>,
    task: AbortHandle,
}

/// The body of a reply.
#[derive(Debug)]
pub struct ReplyStream {
    stream: RecvStream,
    _call: CallInProgress,
}

impl Connector {
    /// Connects to `address`. `timeout` is the limit for the TCP connection. The connection is closed if the peer leaves
    /// data or pings unacknowledged for longer than `unacknowledged`.
    pub fn new(address: Uri, mut tls: ClientConfig, timeout: Duration, unacknowledged: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(SILENCE));
        tcp.set_connect_timeout(Some(timeout));
        // Ends a connection whose peer has disappeared between two calls.
        tcp.set_tcp_user_timeout(Some(unacknowledged));
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { address, stream: HttpsConnector::from((tcp, tls)), http2: http2(), unacknowledged }
    }

    /// The address of the service.
    pub fn address(&self) -> &Uri {
        &self.address
    }

    async fn connect(&self) -> Result<Connection, BoxError> {
        let stream = timeout(CONNECT_TIMEOUT, self.stream.clone().call(self.address.clone()));
        let (requests, mut connection) = self.http2.handshake(TokioIo::new(stream.await??)).await?;
        let pings = connection.ping_pong().ok_or("the connection has no pings")?;
        let (calls, limit) = (Arc::<Calls>::default(), self.unacknowledged);
        let own_calls = calls.clone();
        let task = tokio::spawn(async move {
            let run = poll_fn(|context| {
                let ended = connection.poll_unpin(context);
                own_calls.connection_changed();
                ended
            });
            tokio::select! {
                // The first, so that a reply to a ping is read before its time-out counts.
                biased;
                _ = run => {}
                () = own_calls.peer_disappears(pings, limit) => {}
            }
            // Its calls fail now.
            drop(connection);
            own_calls.connection_changed();
        });
        Ok(Connection { requests, calls, task: task.abort_handle() })
    }
}

/// The limits of a connection. h2 closes a connection whose peer seems to attack it, which would fail all its calls. A
/// service that replies late to many calls that have ended by their time-outs looks like that, so the limits for it
/// are high or turned off.
fn http2() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // Until the peer has sent its own limit, which takes one round trip. It would refuse calls above its limit.
        .initial_max_send_streams(1)
        .max_header_list_size(16 * 1024)
        .initial_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .data_frame_budget(usize::MAX)
        .max_local_error_reset_streams(None);
    builder
}

impl Channel {
    /// A channel that is not connected.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, connection: Arc::default() }
    }

    /// Connects before the first call.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which tonic reports as the code `UNAVAILABLE`; another error if connecting panics.
    pub async fn connect(&self) -> Result<(), BoxError> {
        self.replace(self.connection.clone().lock_owned().await).await.map(drop)
    }

    /// Replaces the connection by a new one. This is a task of its own, so that a handshake that takes longer than the
    /// present attempt is finished for later attempts.
    async fn replace(
        &self,
        mut connection: OwnedMutexGuard<Option<Connection>>,
    ) -> Result<OwnedMutexGuard<Option<Connection>>, BoxError> {
        let connector = self.connector.clone();
        let connecting = tokio::spawn(async move {
            *connection = Some(connector.connect().await.map_err(ConnectError)?);
            Ok(connection)
        });
        connecting.await?
    }

    /// Sends a request with its message, as soon as the peer permits it.
    async fn send(
        &self,
        head: Request<()>,
        message: Bytes,
    ) -> Result<(ResponseFuture, CallInProgress), BoxError> {
        let mut connection = self.connection.clone().lock_owned().await;
        let mut admitted = admit(connection.as_ref()).await;
        if admitted.is_none() {
            connection = self.replace(connection).await?;
            admitted = admit(connection.as_ref()).await;
        }
        let (mut requests, call) = admitted.ok_or("the connection was lost")?;
        let (reply, mut stream) = requests.send_request(head, false).map_err(cause)?;
        stream.send_data(message, true).map_err(cause)?;
        Ok((reply, call))
    }
}

/// Waits until the peer permits one more call. Returns `None` if there is no connection, or if it is lost or about to
/// be closed by the peer (GOAWAY). `poll_ready` of a sender waits until its last request has a stream. A new clone has
/// sent none, so it never waits, and only reports that the connection is lost.
async fn admit(connection: Option<&Connection>) -> Option<(SendRequest<Bytes>, CallInProgress)> {
    let Connection { requests, calls, task } = connection?;
    let mut requests = requests.clone();
    let call = calls.clone().begin();
    while !task.is_finished() && poll_fn(|context| requests.poll_ready(context)).await.is_ok() {
        if calls.in_progress() <= requests.current_max_send_streams() {
            return Some((requests, call));
        }
        calls.changed().await;
    }
    None
}

/// A call. If its future is dropped, its stream is reset.
impl Service<Request<Body>> for Channel {
    type Response = Response<ReplyStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        let channel = self.clone();
        async move {
            let (head, body) = request.into_parts();
            let message = body.collect().await?.to_bytes();
            let (reply, call) = channel.send(Request::from_parts(head, ()), message).await?;
            let reply = reply.await.map_err(cause)?;
            call.reply_arrived();
            Ok(reply.map(|stream| ReplyStream { stream, _call: call }))
        }
        .boxed()
    }
}

impl hyper::body::Body for ReplyStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(data) = ready!(self.stream.poll_data(context).map_err(cause)?) else {
            let trailers = ready!(self.stream.poll_trailers(context).map_err(cause)?);
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        };
        // The peer may send as much again.
        self.stream.flow_control().release_capacity(data.len())?;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// The error of the connection itself, if that is why a call failed.
fn cause(error: h2::Error) -> BoxError {
    if error.is_io() {
        error.into_io().map_or("the connection was lost".into(), Into::into)
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use h2::server::{self, SendResponse};
    use rustls::RootCertStore;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;
    use crate::http_client;

    /// A request that the server has received: its path, and the means to reply.
    type Received = (String, SendResponse<Bytes>);

    /// The limit for what the server must receive.
    const LIMIT: Duration = Duration::from_secs(10);

    /// A server that permits one call at once on a connection, and a channel to it.
    struct Setup {
        channel: Channel,
        received: mpsc::UnboundedReceiver<Received>,
        /// Asks the present connection to end after its calls (GOAWAY).
        goaway: Arc<tokio::sync::Notify>,
    }

    impl Setup {
        /// The channel has made a call already, so it knows the limit.
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let (sender, received) = mpsc::unbounded_channel();
            let goaway = Arc::new(tokio::sync::Notify::new());
            let notified = goaway.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (sender, notified) = (sender.clone(), notified.clone());
                    tokio::spawn(async move {
                        let handshake = server::Builder::new().max_concurrent_streams(1).handshake(stream);
                        let mut connection = handshake.await.unwrap();
                        loop {
                            tokio::select! {
                                request = connection.accept() => match request {
                                    Some(Ok((head, reply))) => sender.send((head.uri().path().to_owned(), reply)).unwrap(),
                                    _ => return,
                                },
                                () = notified.notified() => connection.graceful_shutdown(),
                            }
                        }
                    });
                }
            });
            let tls = http_client::tls(RootCertStore::empty()).unwrap();
            let connector = Connector::new(address, tls, LIMIT, LIMIT);
            let mut setup = Self { channel: Channel::new(Arc::new(connector)), received, goaway };
            let warm_up = setup.call("/warm-up").await;
            setup.reply("/warm-up").await;
            warm_up.await.unwrap();
            setup
        }

        /// Starts a call, and lets it go as far as it can without the server. Returns the size of the reply.
        async fn call(&self, path: &str) -> JoinHandle<usize> {
            let uri = format!("{}{path}", self.channel.connector.address().to_string().trim_end_matches('/'));
            let request = Request::post(uri).body(Body::empty()).unwrap();
            let call = self.channel.clone().call(request);
            let call = tokio::spawn(async move {
                let reply = call.await.unwrap();
                assert_eq!(reply.status(), 200);
                reply.into_body().collect().await.unwrap().to_bytes().len()
            });
            for _ in 0..10 {
                yield_now().await;
            }
            call
        }

        /// Replies to the next request, which must have this path.
        async fn reply(&mut self, path: &str) {
            let mut reply = self.receive(path).await;
            reply.send_response(Response::new(()), true).unwrap();
        }

        /// The next request, which must have this path.
        async fn receive(&mut self, path: &str) -> SendResponse<Bytes> {
            let (received, reply) = timeout(LIMIT, self.received.recv()).await.unwrap().unwrap();
            assert_eq!(received, path);
            reply
        }
    }

    #[tokio::test]
    async fn the_request_of_a_call_that_ends_while_it_waits_is_not_sent() {
        let mut setup = Setup::new().await;
        let first = setup.call("/1").await;
        let second = setup.call("/2").await;
        second.abort();
        let third = setup.call("/3").await;

        setup.reply("/1").await;
        setup.reply("/3").await;

        let (first, third) = tokio::join!(first, third);
        assert!(first.is_ok() && third.is_ok());
    }

    #[tokio::test]
    async fn the_stream_of_a_call_that_ends_is_reset() {
        let mut setup = Setup::new().await;
        let call = setup.call("/1").await;
        let mut reply = setup.receive("/1").await;

        call.abort();

        let reason = poll_fn(|context| reply.poll_reset(context)).await.unwrap();
        assert_eq!(reason, h2::Reason::CANCEL);
    }

    #[tokio::test]
    async fn a_reply_that_is_larger_than_the_window_is_read() {
        let mut setup = Setup::new().await;
        let size = 3 * 1024 * 1024;
        let call = setup.call("/1").await;
        let mut reply = setup.receive("/1").await.send_response(Response::new(()), false).unwrap();

        reply.send_data(vec![0; size].into(), true).unwrap();

        assert_eq!(timeout(LIMIT, call).await.unwrap().unwrap(), size);
    }

    #[tokio::test]
    async fn a_waiting_call_uses_a_new_connection_as_soon_as_the_server_closes_the_present_one() {
        let mut setup = Setup::new().await;
        let first = setup.call("/1").await;
        let mut first_reply = setup.receive("/1").await;
        let second = setup.call("/2").await;

        setup.goaway.notify_one();

        setup.reply("/2").await;
        second.await.unwrap();
        first_reply.send_response(Response::new(()), true).unwrap();
        first.await.unwrap();
    }
}
