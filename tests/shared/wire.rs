//! TCP servers with any behaviour, and proxies that count their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server on a free loopback port. When it is dropped, it stops and closes all its connections.
pub struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that runs `serve` for each connection.
    pub async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream));
            }
        });
        Self { addr, accepted, _tasks: tasks }
    }

    /// Starts a server that forwards each connection to `to`, which is `host:port`.
    pub async fn proxy(to: String) -> Self {
        Self::start(move |mut inbound| {
            let to = to.clone();
            async move {
                if let Ok(mut outbound) = TcpStream::connect(to).await {
                    outbound.set_nodelay(true).unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
                }
            }
        })
        .await
    }

    /// Starts a server that reads one request per connection, sends `reply`, and closes the connection.
    pub async fn replying(reply: impl AsRef<[u8]> + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream| {
            let reply = reply.clone();
            async move {
                request(&mut stream).await;
                let _ = stream.write_all(reply.as_ref()).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    /// The address as `host:port`.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// The base URL.
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Reads an HTTP/1.1 request to its end. If the client disconnects earlier, returns the part that was
/// received.
pub async fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !is_complete(&text) {
        match stream.read(&mut buffer).await {
            Ok(1..) if text.len() > 1 << 20 => break,
            Ok(read @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
            _ => break,
        }
    }
    text
}

fn is_complete(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}
