//! Why the function gave no response.

use std::io;
use std::process::ExitStatus;

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The time limit was reached. The process continues to run; Lambda would kill it.
    #[error("the function did not respond in time")]
    TimedOut,
    /// The process has ended.
    #[error("the function process ended: {0}")]
    Exited(ExitStatus),
    /// The function reported that it cannot start, and why.
    #[error("the function does not start: {0}")]
    InitFailed(String),
    /// The operating system reported an error, or the response is not JSON.
    #[error(transparent)]
    Io(#[from] io::Error),
}
