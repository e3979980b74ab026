//! The measurements that compare programs. Each ratio has a confidence interval.

use crate::Error;
use crate::cgroup::CpuLimit;
use crate::figures::{Figure, Measured, table};
use crate::fixture::Fixture;
use crate::program::Name;
use crate::programs::{EARLIER_WORKER, GO, MINIMAL, MINIMAL_WITH_PGO, WORKER, WORKER_WITH_PGO};
use crate::report::Report;
use crate::workload::{Kind, Workload};

const TENS: Workload = Workload { records: 10, batches: 200, rounds: 11, ..Workload::BASE };
const HUNDREDS: Workload = Workload { records: 100, batches: 60, rounds: 11, ..Workload::BASE };

const OF_BATCHES: &[Figure] = &[Figure::P50, Figure::P99, Figure::RESPONSE, Figure::CPU, Figure::MEMORY];
/// The workloads in which all programs are compared: the part, its name in the report, and the figures.
const WORKLOADS: [(&str, &str, Workload, &[Figure]); 4] = [
    (
        "cold-start",
        "cold start",
        Workload { records: 1, batches: 1, rounds: 51, warm_up_batches: 0, ..Workload::BASE },
        &[Figure::INIT, Figure::FIRST, Figure::FIRST_CPU],
    ),
    ("batch-10", "batch of 10", TENS, OF_BATCHES),
    ("batch-100", "batch of 100", HUNDREDS, OF_BATCHES),
    (
        "batch-10000",
        "batch of 10,000",
        Workload { records: 10_000, batches: 1, rounds: 6, warm_up_batches: 1, ..Workload::BASE },
        &[Figure::CPU],
    ),
];

/// The comparisons of these workloads: title, text, and the two programs.
const COMPARISONS: [(&str, &str, Name, Name); 4] = [
    (
        "As released",
        "The worker is built with profile-guided optimisation (PGO), as CI and releases build it, and the minimal function as a\n\
         user would build it. `make deploy` without `PGO=1` makes the plain build of the next section.",
        WORKER_WITH_PGO,
        MINIMAL,
    ),
    ("Plain build", "Neither function is built with PGO.", WORKER, MINIMAL),
    ("PGO for both", "Both functions are built with PGO.", WORKER_WITH_PGO, MINIMAL_WITH_PGO),
    (
        "A plain Go function",
        "What a Go developer writes in an afternoon: a pool of workers, one log line per record, one line with metrics\n\
         per batch, and partial batch responses. It has no retries, breakers, order of records, visibility time-outs or\n\
         traces.",
        GO,
        MINIMAL,
    ),
];

const OUTCOMES: [(&str, Kind); 6] = [
    ("expired holds", Kind::Expired),
    ("approved payments", Kind::Approved),
    ("failed payments", Kind::FailedPayment),
    ("invalid payloads", Kind::Invalid),
    ("reservation API replies 503, its breaker is open", Kind::Unavailable),
    ("reservation is confirmed, the API replies 409", Kind::Conflict),
];

/// Measures all comparisons.
pub async fn measure(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    compare(fixture, report).await?;
    if fixture.measures("sampling") {
        sample(fixture, report).await?;
    }
    if fixture.measures("cores") {
        limit_cores(fixture, report).await?;
    }
    if fixture.measures("outcomes") {
        vary_outcomes(fixture, report).await?;
    }
    Ok(())
}

async fn compare(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let names = [WORKER_WITH_PGO, WORKER, MINIMAL, MINIMAL_WITH_PGO, GO, EARLIER_WORKER];
    let mut measured = Vec::new();
    for (_, workload, settings, figures) in WORKLOADS.into_iter().filter(|(part, ..)| fixture.measures(part))
    {
        let rounds = fixture.run_rounds(&fixture.programs.of(&names), &settings).await?;
        measured.push(Measured { workload, figures, rounds });
    }
    if measured.is_empty() {
        return Ok(());
    }
    for (title, text, program, other) in COMPARISONS {
        let mut text = format!("{text}\n\n{}", table(&measured, &fixture.programs, program, other));
        if other == MINIMAL && program != GO && fixture.programs.binary(program).is_ok() {
            text += &zip_size(fixture.programs.zip_size(program)?);
        }
        report.section(title, &text);
    }
    if fixture.programs.binary(EARLIER_WORKER).is_ok() {
        report.print_only(&table(&measured, &fixture.programs, WORKER, EARLIER_WORKER));
    }
    Ok(())
}

/// A row of the table for the size of the deployment package in MiB.
fn zip_size(size: f64) -> String {
    let result = if size <= 4.0 { "met" } else { "missed" };
    format!("| deployment package | size of the zip | {size:.2} MiB | | | 4 MiB | {result} |\n")
}

async fn sample(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let programs = fixture.programs.of(&[WORKER_WITH_PGO, WORKER, MINIMAL]);
    let mut measured = Vec::new();
    for (workload, settings) in [("batch of 10, 5 % sampled", TENS), ("batch of 100, 5 % sampled", HUNDREDS)]
    {
        let rounds = fixture.run_rounds(&programs, &Workload { sampled_one_in: 20, ..settings }).await?;
        measured.push(Measured { workload, figures: &[Figure::P50, Figure::CPU], rounds });
    }
    let text = format!(
        "In the other measurements every trace is sampled. A producer that samples 5 % says so in the attribute\n\
         `AWSTraceHeader` of each record. Here every 20th record is sampled. The span of the invocation always is.\n\n\
         {}\n{}",
        table(&measured, &fixture.programs, WORKER_WITH_PGO, MINIMAL),
        table(&measured, &fixture.programs, WORKER, MINIMAL)
    );
    report.section("One trace in 20", &text);
    Ok(())
}

async fn limit_cores(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let title = "One core and a seventh of one";
    if let Err(reason) = CpuLimit::new(1.0) {
        report.section(title, &format!("NOT MEASURED: no cgroup can limit the CPU time: {reason}.\n"));
        return Ok(());
    }
    let worker = fixture.programs.deployed_worker();
    let programs = fixture.programs.of(&[worker, MINIMAL, GO]);
    let (tens, hundreds) =
        (Workload { batches: 60, rounds: 6, ..TENS }, Workload { batches: 20, rounds: 6, ..HUNDREDS });
    let mut measured = Vec::new();
    for (workload, cores, settings) in [
        ("one core, 10 records", 1.0, tens),
        ("one core, 100 records", 1.0, hundreds),
        ("a seventh, 10 records", 1.0 / 7.0, tens),
        ("a seventh, 100 records", 1.0 / 7.0, hundreds),
    ] {
        let rounds = fixture.run_rounds(&programs, &Workload { cores: Some(cores), ..settings }).await?;
        let figures = &[Figure::THROUGHPUT, Figure::P50, Figure::CPU];
        measured.push(Measured { workload, figures, rounds });
    }
    let text = format!(
        "A cgroup limits the function to a whole core, as Lambda does with 1,769 MB, and to a seventh of one, as with\n\
         256 MB. The limit begins after init. Of events per second, more is better.\n\n{}\n{}",
        table(&measured, &fixture.programs, worker, MINIMAL),
        table(&measured, &fixture.programs, worker, GO)
    );
    report.section(title, &text);
    Ok(())
}

async fn vary_outcomes(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let mut measured = Vec::new();
    for (workload, kind) in OUTCOMES {
        let batches = if kind == Kind::Unavailable { 10 } else { 30 };
        let settings = Workload { kind, batches, rounds: 7, ..HUNDREDS };
        let rounds = fixture.run_rounds(&fixture.programs.of(&[WORKER_WITH_PGO, WORKER]), &settings).await?;
        measured.push(Measured { workload, figures: &[Figure::CPU], rounds });
    }
    let text = format!(
        "The profile of PGO comes from some workload. This shows whether it does harm in others, in batches of 100\n\
         records. With a ratio of 1.00, an event costs as much as in a plain build.\n\n{}",
        table(&measured, &fixture.programs, WORKER_WITH_PGO, WORKER)
    );
    report.section("Other outcomes", &text);
    Ok(())
}
