//! Ctrl-C: the command ends at the next point where no action is in progress, and makes its letters visible again.

use std::io;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::progress::note;

/// The exit status of a shell for a command that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// The command was interrupted.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Whether the user has asked the command to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for SIGINT, SIGTERM and SIGHUP. The second signal ends the process at once, so that its letters stay
    /// hidden for up to `visibility_timeout`.
    pub(crate) fn on_signals(visibility_timeout: Duration) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (requested, receiver) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if requested.send_replace(true) {
                    let time = humantime::format_duration(visibility_timeout);
                    note(format_args!(
                        "interrupted twice: letters that are still hidden stay hidden for up to {time}"
                    ));
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        });
        Ok(Self(receiver))
    }

    /// An error if the user has asked to stop.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if *self.0.borrow() { Err(Interrupted) } else { Ok(()) }
    }

    /// Does work that can be dropped at any moment. Drops it when the user asks to stop.
    pub(crate) async fn unless_requested<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.requested() => Err(Interrupted.into()),
        }
    }

    /// Completes when the user asks to stop.
    pub(crate) async fn requested(&self) {
        if self.0.clone().wait_for(|requested| *requested).await.is_err() {
            std::future::pending().await
        }
    }
}
