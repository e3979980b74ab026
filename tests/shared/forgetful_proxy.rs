//! A proxy that forgets its connections.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::wire::Server;

/// How a peer that has forgotten a connection treats the next packet.
#[derive(Clone, Copy, Debug)]
pub enum AfterForgetting {
    /// It drops the packet.
    DropsData,
    /// It answers with RST.
    Resets,
}

/// A proxy that forgets all its open connections on demand. New connections work.
pub struct ForgetfulProxy {
    pub server: Server,
    forget: Arc<Notify>,
}

impl ForgetfulProxy {
    /// Forwards connections to `to`, which is `host:port`.
    pub async fn start(to: String, after_forgetting: AfterForgetting) -> Self {
        let forget = Arc::new(Notify::new());
        let forgotten = forget.clone();
        let server = Server::start(move |mut inbound| {
            let (to, forgotten) = (to.clone(), forgotten.clone());
            async move {
                let forgotten = forgotten.notified();
                let mut outbound = TcpStream::connect(to).await.unwrap();
                outbound.set_nodelay(true).unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut inbound, &mut outbound) => return,
                    () = forgotten => {}
                }
                match after_forgetting {
                    AfterForgetting::DropsData => std::future::pending().await,
                    AfterForgetting::Resets => {
                        inbound.readable().await.unwrap();
                        inbound.set_zero_linger().unwrap();
                    }
                }
            }
        });
        Self { server: server.await, forget }
    }

    /// Forgets all connections that are open now.
    pub fn forget(&self) {
        self.forget.notify_waiters();
    }
}
