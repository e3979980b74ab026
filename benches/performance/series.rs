//! The measurements of the deployed worker in which one setting varies: batch size, concurrency, telemetry.

use std::fmt::Write as _;

use crate::Error;
use crate::figures::Figure;
use crate::fixture::Fixture;
use crate::plot::{Line, Plot};
use crate::programs::MINIMAL;
use crate::report::Report;
use crate::workload::Workload;

/// Records per batch, and the number of batches.
const BATCH_SIZES: [(usize, usize); 5] = [(1, 200), (10, 100), (100, 30), (1_000, 5), (10_000, 1)];
const CONCURRENCY: [usize; 6] = [1, 5, 10, 20, 50, 100];
/// These figures have no confidence interval.
const ROUNDS: usize = 5;

/// Measures all series.
pub async fn measure(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    if fixture.measures("sizes") {
        vary_batch_size(fixture, report).await?;
    }
    if fixture.measures("concurrency") {
        vary_concurrency(fixture, report).await?;
    }
    if fixture.measures("telemetry") {
        vary_telemetry(fixture, report).await?;
    }
    Ok(())
}

async fn vary_batch_size(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let names = [fixture.programs.deployed_worker(), MINIMAL];
    let mut text = "![time](time.svg)\n![CPU](cpu.svg)\n![memory](memory.svg)\n\n\
                    | records | time, p50 | minimal | CPU per event | minimal | peak memory | minimal |\n\
                    |--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let plots = [
        ("time.svg", "Time per batch", "ms", Figure::P50),
        ("cpu.svg", "CPU per event", "µs", Figure::CPU),
        ("memory.svg", "Peak memory", "MiB", Figure::MEMORY),
    ];
    let mut lines = [const { [Vec::new(), Vec::new()] }; 3];
    for (records, batches) in BATCH_SIZES {
        let workload = Workload { records, batches, rounds: ROUNDS, warm_up_batches: 1, ..Workload::BASE };
        let rounds = fixture.run_rounds(&fixture.programs.of(&names), &workload).await?;
        write!(text, "| {records} |")?;
        for ((.., unit, figure), lines) in plots.iter().zip(&mut lines) {
            for (name, line) in names.iter().zip(lines) {
                let median = figure.median(&rounds[name]);
                line.push((records as f64, median));
                write!(text, " {median:.2} {unit} |")?;
            }
        }
        text.push('\n');
    }
    report.section("Batch size", &text);
    for ((file, title, y, _), lines) in plots.into_iter().zip(lines) {
        let lines = names.into_iter().zip(lines).map(|(name, points)| Line { name, points }).collect();
        report.plot(file, Plot { title, x: "records per batch", y, lines });
    }
    Ok(())
}

async fn vary_concurrency(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let name = fixture.programs.deployed_worker();
    let mut text = "Batches of 100 records in one process.\n\n![throughput](concurrency.svg)\n\n\
                    | `WORKER_CONCURRENCY` | events per second |\n|--:|--:|\n"
        .to_owned();
    let mut points = Vec::new();
    for concurrency in CONCURRENCY {
        // With little concurrency, a batch takes up to a second.
        let batches = concurrency.clamp(3, 20);
        let workload = Workload { records: 100, batches, rounds: ROUNDS, concurrency, ..Workload::BASE };
        let rounds = fixture.run_rounds(&fixture.programs.of(&[name]), &workload).await?;
        let throughput = Figure::THROUGHPUT.median(&rounds[name]);
        points.push((concurrency as f64, throughput));
        writeln!(text, "| {concurrency} | {throughput:.0} |")?;
    }
    report.section("Throughput", &text);
    let (title, x, y) = ("Throughput of one process", "WORKER_CONCURRENCY", "events per second");
    report.plot("concurrency.svg", Plot { title, x, y, lines: vec![Line { name, points }] });
    Ok(())
}

/// The cost of each part of the telemetry is the difference between the worker with and without it.
async fn vary_telemetry(fixture: &Fixture, report: &mut Report) -> Result<(), Error> {
    let worker = fixture.programs.deployed_worker();
    let mut programs = fixture.programs.of(&[worker, MINIMAL]);
    programs.extend(fixture.programs.with_less_telemetry());
    let workload = Workload { records: 100, batches: 60, rounds: 7, ..Workload::BASE };
    let rounds = fixture.run_rounds(&programs, &workload).await?;
    let cpu = |name| Figure::CPU.median(&rounds[name]);
    let all = cpu(worker);
    let mut text =
        "Per event, in batches of 100 records. The cost of a part of the telemetry is the CPU that is saved\n\
                    without it. A value below zero is within the measurement error.\n\n\
                    | part | CPU | share |\n|---|--:|--:|\n"
            .to_owned();
    for (part, cost) in [
        ("runtime and both calls: the minimal function", cpu(MINIMAL)),
        (
            "parsing, order, limits, checks, retries: the worker without telemetry minus the minimal function",
            cpu("without telemetry") - cpu(MINIMAL),
        ),
        ("log", all - cpu("without the log")),
        ("metrics", all - cpu("without metrics")),
        ("traces", all - cpu("without traces")),
        ("total", all),
    ] {
        writeln!(text, "| {part} | {cost:.1} µs | {:.0} % |", cost / all * 100.0)?;
    }
    text += "\n| telemetry | CPU per event | time of a batch of 100, p50 |\n|---|--:|--:|\n";
    for (state, name) in [("on", worker), ("off", "without telemetry")] {
        let time = Figure::P50.median(&rounds[name]);
        writeln!(text, "| {state} | {:.1} µs | {time:.2} ms |", cpu(name))?;
    }
    report.section("CPU by part", &text);
    Ok(())
}
