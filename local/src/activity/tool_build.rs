//! The build of the operator's tool, which the console starts and the terminal shows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What Cargo has printed last, and when the build was started. `None`: no build is running.
#[derive(Debug, Default)]
pub(crate) struct ToolBuild(Mutex<Option<(Instant, String)>>);

/// Ends the display of a build when it is dropped, also if the browser has closed the request for the build.
struct EndOfBuild<'a>(&'a ToolBuild);

impl ToolBuild {
    /// Begins a build, which ends when the returned value is dropped.
    pub(crate) fn begin(&self) -> impl Drop + '_ {
        EndOfBuild(self)
    }

    /// Shows a line that Cargo has printed.
    pub(crate) fn show(&self, line: &str) {
        let mut build = self.lock();
        let since = build.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *build = Some((since, line.to_owned()));
    }

    /// The progress, if a build is running.
    pub(crate) fn progress(&self) -> Option<String> {
        let build = self.lock();
        let (since, line) = build.as_ref()?;
        Some(format!("building dead-letters, {} s: {line}", since.elapsed().as_secs()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EndOfBuild<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
