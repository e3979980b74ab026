//! The calls on a connection, and pings that find out whether its peer still replies.
//!
//! The peer is pinged only if a call is in progress, because servers reply to other pings with GOAWAY, and only if no
//! reply has arrived for some time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::http_client::SILENCE;

/// The calls on one connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    in_progress: AtomicUsize,
    /// The number of replies that have begun to arrive.
    replies: AtomicUsize,
    began: Notify,
    /// A call has ended, or the connection has made progress.
    changed: Notify,
}

/// A call in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct CallInProgress(Arc<Calls>);

impl Calls {
    pub(super) fn begin(self: Arc<Self>) -> CallInProgress {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        self.began.notify_one();
        CallInProgress(self)
    }

    pub(super) fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// Reports that the connection may have received new limits or may have ended.
    pub(super) fn connection_changed(&self) {
        self.changed.notify_one();
    }

    /// Waits until a call ends or the connection makes progress. Only one task may wait at a time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends when the peer has sent no reply for [`SILENCE`], and then does not reply to a ping within `limit`. The ping
    /// is sent only while a call is in progress; the call may end before the reply.
    pub(super) async fn peer_disappears(&self, mut pings: PingPong, limit: Duration) {
        loop {
            let replies = self.replies.load(Ordering::Relaxed);
            sleep(SILENCE).await;
            if self.replies.load(Ordering::Relaxed) != replies {
                continue;
            }
            while self.in_progress() == 0 {
                self.began.notified().await;
            }
            if !matches!(timeout(limit, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
                return;
            }
        }
    }
}

impl CallInProgress {
    pub(super) fn reply_arrived(&self) {
        self.0.replies.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use tokio::io::duplex;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// The time until the peer is found to have disappeared; `None` if that does not happen within an hour. The peer
    /// replies to pings if `answers_pings` is set. Meanwhile `use_connection` makes calls.
    async fn disappears_after<F: Future>(
        answers_pings: bool,
        use_connection: impl FnOnce(Arc<Calls>) -> F,
    ) -> Option<Duration> {
        let (client, server) = duplex(4_096);
        let (client, server) = tokio::join!(h2::client::handshake(client), h2::server::handshake(server));
        let (_requests, mut client): (h2::client::SendRequest<Bytes>, _) = client.unwrap();
        let mut server: h2::server::Connection<_, Bytes> = server.unwrap();
        let pings = client.ping_pong().unwrap();
        tokio::spawn(client);
        if answers_pings {
            tokio::spawn(async move { server.accept().await.is_none() });
        }
        let calls = Arc::<Calls>::default();
        let start = Instant::now();
        tokio::select! {
            () = calls.peer_disappears(pings, LIMIT) => Some(start.elapsed()),
            _ = async { use_connection(calls.clone()).await; sleep(HOUR).await } => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_disappears_after_the_silence_and_the_limit() {
        let waits = async |calls: Arc<Calls>| {
            let _call = calls.begin();
            sleep(HOUR).await;
        };
        assert_eq!(disappears_after(false, waits).await, Some(SILENCE + LIMIT));
        assert_eq!(disappears_after(true, waits).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_pinged_with_the_next_call_if_no_call_is_in_progress() {
        let minute = Duration::from_secs(60);
        let calls_later = async |calls: Arc<Calls>| {
            sleep(minute).await;
            // Shorter than the limit for the reply to the ping.
            let call = calls.begin();
            sleep(LIMIT / 2).await;
            drop(call);
        };
        assert_eq!(disappears_after(false, calls_later).await, Some(minute + LIMIT));
        assert_eq!(disappears_after(false, async |_| ()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_replies_is_not_pinged() {
        let replies_until = SILENCE * 4 + SILENCE / 2;
        let busy = async |calls: Arc<Calls>| {
            let start = Instant::now();
            let _unanswered = calls.clone().begin();
            while start.elapsed() < replies_until {
                sleep(SILENCE / 4).await;
                calls.clone().begin().reply_arrived();
            }
            sleep(HOUR).await;
        };
        assert_eq!(disappears_after(false, busy).await, Some(SILENCE * 6 + LIMIT));
    }
}
