//! One accept loop for both services: plain text or TLS, HTTP/1.1 and HTTP/2; a port that can close and
//! open again, and connections that can be reset.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The connection a call came on; each request carries it as an extension.
#[derive(Clone, Default)]
pub(crate) struct Connection(Arc<Notify>);

impl Connection {
    /// Ends the TCP connection with RST, soon; the call that asks for it is dropped with the connection.
    pub(crate) fn reset(&self) {
        self.0.notify_one();
    }
}

/// A service on its port.
pub(crate) struct Endpoint {
    addr: SocketAddr,
    site: Site,
    port: Mutex<Port>,
}

/// What is served on a connection.
#[derive(Clone)]
struct Site {
    router: Router,
    tls: Option<TlsAcceptor>,
}

#[derive(Default)]
struct Port {
    listening: Option<Listening>,
    /// Bound but not listening: connections are refused, and nobody else is given the port.
    reserved: Option<TcpSocket>,
}

struct Listening {
    /// Dropped to close the port, by `close` or with the endpoint.
    stop: oneshot::Sender<()>,
    closed: JoinHandle<()>,
}

impl Endpoint {
    /// Serves on a free loopback port.
    pub(crate) async fn open(router: Router, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let addr = socket.local_addr()?;
        let port = Port { listening: None, reserved: Some(socket) };
        let endpoint = Self { addr, site: Site { router, tls }, port: Mutex::new(port) };
        endpoint.reopen().await?;
        Ok(endpoint)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.site.tls.is_some()
    }

    /// Refuses connections and drops the open ones, until `reopen`.
    pub(crate) async fn close(&self) {
        let mut port = self.port.lock().await;
        if let Some(listening) = port.listening.take() {
            drop(listening.stop);
            let _ = listening.closed.await;
            port.reserved = bind(self.addr).ok();
        }
    }

    /// Serves on the same port again.
    pub(crate) async fn reopen(&self) -> io::Result<()> {
        let mut port = self.port.lock().await;
        if port.listening.is_none() {
            let socket = port.reserved.take().map_or_else(|| bind(self.addr), Ok)?;
            let listener = socket.listen(1024)?;
            let (stop, stopped) = oneshot::channel();
            let closed = tokio::spawn(accept(listener, self.site.clone(), stopped));
            port.listening = Some(Listening { stop, closed });
        }
        Ok(())
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?; // connections of its past may linger on the port
    socket.bind(addr)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, site: Site, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(site.clone().serve(stream))),
                // Out of file descriptors: some are given back while this waits.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

impl Site {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // A second handle keeps the socket open past HTTP's, to say how it is to be closed.
        let socket = TcpSocket::from_std_stream(stream.as_fd().try_clone_to_owned()?.into());
        let connection = Connection::default();
        let router = self.router.layer(Extension(connection.clone()));
        let exchange = async {
            match self.tls {
                Some(tls) => converse(tls.accept(stream).await?, router).await,
                None => converse(stream, router).await,
            }
            Ok(())
        };
        tokio::select! {
            ended = exchange => ended,
            () = connection.0.notified() => socket.set_zero_linger(),
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, router: Router) {
    let service = TowerToHyperService::new(router);
    // How a caller leaves is its own affair.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
