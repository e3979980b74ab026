//! The HTTP server of both services. It serves HTTP/1.1 and HTTP/2, with or without TLS. Its port can be
//! closed and opened again, and its connections can be reset.

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

/// The connection on which a request arrived. Each request has it as an extension.
#[derive(Clone, Default)]
pub(crate) struct Connection(Arc<Notify>);

impl Connection {
    /// Closes the TCP connection with RST after this function has returned. All requests on the connection
    /// are dropped.
    pub(crate) fn reset(&self) {
        self.0.notify_one();
    }
}

/// A server on a loopback port. Dropping it closes the port and the connections.
pub(crate) struct Server {
    addr: SocketAddr,
    handler: Handler,
    port: Mutex<Port>,
}

/// What serves a connection.
#[derive(Clone)]
struct Handler {
    router: Router,
    tls: Option<TlsAcceptor>,
}

#[derive(Default)]
struct Port {
    listener: Option<RunningListener>,
    /// A socket that is bound but does not listen. It refuses connections, and no other process can get the
    /// port.
    reserved: Option<TcpSocket>,
}

struct RunningListener {
    /// Dropping this sender closes the port.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts on a free loopback port.
    pub(crate) async fn start(router: Router, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let addr = socket.local_addr()?;
        let port = Port { listener: None, reserved: Some(socket) };
        let server = Self { addr, handler: Handler { router, tls }, port: Mutex::new(port) };
        server.restart().await?;
        Ok(server)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.handler.tls.is_some()
    }

    /// Closes the open connections and refuses new ones until `restart`.
    pub(crate) async fn stop(&self) {
        let mut port = self.port.lock().await;
        if let Some(listener) = port.listener.take() {
            drop(listener.stop);
            let _ = listener.task.await;
            port.reserved = bind(self.addr).ok();
        }
    }

    /// Starts again on the same port.
    pub(crate) async fn restart(&self) -> io::Result<()> {
        let mut port = self.port.lock().await;
        if port.listener.is_none() {
            let socket = port.reserved.take().map_or_else(|| bind(self.addr), Ok)?;
            let listener = socket.listen(1024)?;
            let (stop, stopped) = oneshot::channel();
            let task = tokio::spawn(accept(listener, self.handler.clone(), stopped));
            port.listener = Some(RunningListener { stop, task });
        }
        Ok(())
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Earlier connections of this server may still occupy the port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, handler: Handler, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(handler.clone().serve(stream))),
                // There are no free file descriptors. Other connections release some during this pause.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

impl Handler {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // This second handle keeps the socket open after HTTP has closed its own, so that the linger option
        // can be set.
        let socket = TcpSocket::from_std_stream(stream.as_fd().try_clone_to_owned()?.into());
        let connection = Connection::default();
        let router = self.router.layer(Extension(connection.clone()));
        let serving = async {
            match self.tls {
                Some(tls) => serve_http(tls.accept(stream).await?, router).await,
                None => serve_http(stream, router).await,
            }
            Ok(())
        };
        tokio::select! {
            ended = serving => ended,
            () = connection.0.notified() => socket.set_zero_linger(),
        }
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, router: Router) {
    let service = TowerToHyperService::new(router);
    // A caller may disconnect at any time. That is not an error of the server.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
