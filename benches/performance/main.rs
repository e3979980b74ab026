//! What the function costs beside a bare one that makes the same two calls, with all telemetry on
//! (`make bench`). Writes the figures and plots of `docs/performance/`.
//!
//! Both run as release binaries under the same Runtime API against the same services, in turn, round by
//! round; a figure is the median of the rounds, and what to quote is the ratio of one round's pair.

#![forbid(unsafe_code)]

mod contender;
mod plot;
mod report;
mod stand;

use contender::{Run, Work};
use report::{Goal, Report};
use stand::Stand;

type Error = Box<dyn std::error::Error>;

/// What is held against a goal, and what is done for it.
const GOALS: [(&str, Work, &[Goal]); 3] = [
    ("batch of 10", Work { records: 10, batches: 200, rounds: 9, ..Work::WARM }, &Goal::OF_TEN),
    ("batch of 100", Work { records: 100, batches: 60, rounds: 7, ..Work::WARM }, &Goal::OF_A_HUNDRED),
    (
        "batch of 10,000",
        Work { records: 10_000, batches: 1, rounds: 3, warm: 1, ..Work::WARM },
        &Goal::OF_MANY,
    ),
];
const GROWTH: [(usize, usize); 5] = [(1, 200), (10, 100), (100, 30), (1_000, 5), (10_000, 1)];
const CONCURRENCY: [usize; 6] = [1, 5, 10, 20, 50, 100];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let stand = Stand::start().await?;
    let (ours, bare) = (stand.worker(), stand.bare());
    let mut report = Report::new(stand.zip_size()?)?;

    let cold = Work { records: 1, batches: 1, rounds: 21, warm: 0, concurrency: 20 };
    report.cold_starts(&stand.in_turn(&[&ours, &bare], &cold).await?);
    for (name, work, goals) in GOALS {
        report.goals(name, goals, &stand.in_turn(&[&ours, &bare], &work).await?);
    }
    for (records, batches) in GROWTH {
        let work = Work { records, batches, rounds: 3, warm: 1, ..Work::WARM };
        report.growth(records, &stand.in_turn(&[&ours, &bare], &work).await?);
    }
    for concurrency in CONCURRENCY {
        let work = Work { records: 100, batches: 20, rounds: 3, concurrency, ..Work::WARM };
        report.concurrency(concurrency, &stand.in_turn(&[&ours], &work).await?);
    }
    let without = stand.without();
    let parts: Vec<_> = [&ours, &bare].into_iter().chain(&without).collect();
    let work = Work { records: 100, batches: 60, rounds: 7, ..Work::WARM };
    report.parts(&parts, &stand.in_turn(&parts, &work).await?);
    report.write()
}

/// The runs of each contender, round by round.
type Rounds = Vec<Vec<Run>>;
