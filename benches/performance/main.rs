//! Compares the function, with all telemetry on, with a minimal function that makes the same two calls (`make
//! bench`). Writes the figures and plots in `docs/performance/`.
//!
//! Both functions run as release binaries under the same Runtime API and with the same services. In each
//! round they run one after the other. A figure is the median of all rounds. A ratio is the median of the ratios of the
//! rounds. It depends less on the machine than a figure, so quote the ratios.
//!
//! If the variable `BEFORE` names a binary of another version of the function, the figures of that version are printed
//! beside those of this version.

#![forbid(unsafe_code)]

mod fixture;
mod plot;
mod program;
mod report;

use fixture::Fixture;
use program::{Run, Workload};
use report::{Figure, Report};

type Error = Box<dyn std::error::Error>;

/// The workloads whose figures have goals.
const GOALS: [(&str, Workload, &[Figure]); 3] = [
    (
        "batch of 10",
        Workload { records: 10, batches: 200, rounds: 9, ..Workload::BASE },
        &Figure::OF_BATCHES_OF_10,
    ),
    (
        "batch of 100",
        Workload { records: 100, batches: 60, rounds: 7, ..Workload::BASE },
        &Figure::OF_BATCHES_OF_100,
    ),
    (
        "batch of 10,000",
        Workload { records: 10_000, batches: 1, rounds: 3, warm_up_batches: 1, ..Workload::BASE },
        &Figure::OF_BATCHES_OF_10_000,
    ),
];
/// The workloads of different batch sizes: the number of records per batch, and the number of batches.
const BATCH_SIZES: [(usize, usize); 5] = [(1, 200), (10, 100), (100, 30), (1_000, 5), (10_000, 1)];
/// The measured values of `WORKER_CONCURRENCY`.
const CONCURRENCY: [usize; 6] = [1, 5, 10, 20, 50, 100];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let fixture = Fixture::start().await?;
    let (worker, minimal) = (fixture.worker(), fixture.minimal_function());
    let before = std::env::var_os("BEFORE").map(|binary| fixture.other_worker(binary.into()));
    let compared: Vec<_> = [&worker, &minimal].into_iter().chain(&before).collect();
    let mut report = Report::new(fixture.zip_size()?)?;

    let cold_start = Workload { records: 1, batches: 1, rounds: 21, warm_up_batches: 0, concurrency: 20 };
    report.add_cold_starts(&fixture.run_rounds(&compared, &cold_start).await?);
    for (name, workload, figures) in GOALS {
        report.add_figures(name, figures, &fixture.run_rounds(&compared, &workload).await?);
    }
    for (records, batches) in BATCH_SIZES {
        let workload = Workload { records, batches, rounds: 3, warm_up_batches: 1, ..Workload::BASE };
        report.add_batch_size(records, &fixture.run_rounds(&[&worker, &minimal], &workload).await?);
    }
    for concurrency in CONCURRENCY {
        let workload = Workload { records: 100, batches: 20, rounds: 3, concurrency, ..Workload::BASE };
        report.add_concurrency(concurrency, &fixture.run_rounds(&[&worker], &workload).await?);
    }
    let reduced = fixture.workers_with_less_telemetry();
    let programs: Vec<_> = [&worker, &minimal].into_iter().chain(&reduced).collect();
    let workload = Workload { records: 100, batches: 60, rounds: 7, ..Workload::BASE };
    report.add_parts(&programs, &fixture.run_rounds(&programs, &workload).await?);
    report.write()
}

/// The runs of each program, in the order of the rounds.
type Rounds = Vec<Vec<Run>>;
