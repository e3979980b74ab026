//! How long the sending of telemetry may take. It delays the next invocation of the environment.

use std::time::Duration;

/// After a response.
pub(super) const USUAL: Duration = Duration::from_millis(500);
/// After a response, when a client and its connection must be made. A function with little memory needs longer for
/// that, and would never complete it if it was cut off each time. Metrics get this limit after the first failure in a
/// row, too, because the usual limit may have been too short.
pub(super) const LONG: Duration = Duration::from_secs(2);
/// When the process ends: Lambda allows 500 ms from SIGTERM on.
pub(super) const LAST: Duration = Duration::from_millis(400);
