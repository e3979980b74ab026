//! Compares the function, with all telemetry on, with a minimal function that makes the same two calls, and with a
//! plain Go function (`make bench`). Writes the figures and plots in `docs/performance/`.
//!
//! All functions run under the same Runtime API and with the same services. Quote the ratios: each is the median of the
//! ratios of the rounds, so it depends less on the machine.
//!
//! Variables:
//!
//! - `PGO_BINARIES`: a folder with `reservation-worker` and `minimal_function`, built with PGO.
//! - `BEFORE`: another build of the worker. The comparison with it is printed, and not written to the report.
//! - `ONLY`: the one part to measure. The report is printed, and not written.
//! - `ROUNDS`: the number of rounds of each workload, for a quick look. The report is printed, and not written.

#![forbid(unsafe_code)]

mod cgroup;
mod comparisons;
mod figures;
mod fixture;
mod plot;
mod program;
mod programs;
mod report;
mod series;
mod statistics;
mod workload;

use fixture::Fixture;
use report::Report;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let fixture = Fixture::start().await?;
    let mut report = Report::default();
    comparisons::measure(&fixture, &mut report).await?;
    series::measure(&fixture, &mut report).await?;
    report.print();
    if fixture.measures_everything() { report.write() } else { Ok(()) }
}
