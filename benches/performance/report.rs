//! Formats the figures as Markdown and compares them with their goals.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::plot::{self, Line};
use crate::program::{Program, Run, percentile};
use crate::{Error, Rounds};

/// A figure that is computed from a run.
#[derive(Clone, Copy)]
pub struct Figure {
    name: &'static str,
    /// The goal: the maximum of the ratio to the figure of the minimal function; `None` without a goal.
    max_ratio: Option<f64>,
    /// The value of a run, in `unit`.
    value: fn(&Run) -> f64,
    unit: &'static str,
}

impl Figure {
    pub const OF_BATCHES_OF_10: [Self; 5] = [Self::P50, Self::P99, Self::RESPONSE, Self::CPU, Self::MEMORY];
    pub const OF_BATCHES_OF_100: [Self; 4] = [Self::P50, Self::P99, Self::RESPONSE, Self::CPU];
    pub const OF_BATCHES_OF_10_000: [Self; 1] = [Self::CPU];

    const INIT: Self = Self::new("init", Some(1.5), |run| millis(run.init), "ms");
    const FIRST: Self =
        Self::new("first invocation, one record", Some(1.0), |run| millis(percentile(&run.batches, 0)), "ms");
    const FIRST_CPU: Self = Self::new("CPU of the first invocation", None, |run| millis(run.cpu), "ms");
    const P50: Self = Self::new("time, p50", Some(1.03), |run| millis(percentile(&run.batches, 50)), "ms");
    const P99: Self = Self::new("time, p99", Some(1.10), |run| millis(percentile(&run.batches, 99)), "ms");
    const RESPONSE: Self =
        Self::new("time to the response, p50", None, |run| millis(percentile(&run.responses, 50)), "ms");
    const CPU: Self = Self::new("CPU per event", Some(1.5), |run| millis(run.cpu) * 1e3, "µs");
    const MEMORY: Self = Self::new("peak memory", Some(1.5), |run| run.peak_memory as f64 / 1024.0, "MiB");

    const fn new(
        name: &'static str,
        max_ratio: Option<f64>,
        value: fn(&Run) -> f64,
        unit: &'static str,
    ) -> Self {
        Self { name, max_ratio, value, unit }
    }
}

/// The tables and plots of the report.
#[derive(Default)]
pub struct Report {
    /// The rows of the table of figures, in Markdown.
    figures: String,
    /// For each batch size: the records, then time (ms), CPU (µs) and memory (MiB), each of the worker and of the minimal function.
    batch_sizes: Vec<[f64; 7]>,
    /// `WORKER_CONCURRENCY`, and the events per second.
    concurrency: Vec<(f64, f64)>,
    /// The rows of the table of costs by part, in Markdown.
    parts: String,
    /// The rows of the table that compares with another version of the worker, in Markdown.
    change: String,
    machine: String,
}

impl Report {
    pub fn new(zip: u64) -> Result<Self, Error> {
        let mut report = Self { machine: machine()?, ..Self::default() };
        let mib = zip as f64 / (1024.0 * 1024.0);
        writeln!(report.figures, "| deployment package | size of the zip | {mib:.2} MiB | | | 4 MiB |")?;
        Ok(report)
    }

    pub fn add_cold_starts(&mut self, rounds: &Rounds) {
        self.add_figures("cold start", &[Figure::INIT, Figure::FIRST, Figure::FIRST_CPU], rounds);
    }

    /// Adds a row for each figure of a workload. `rounds` are those of the worker, of the minimal function, and of another
    /// version of the worker, if there is one.
    pub fn add_figures(&mut self, workload: &str, figures: &[Figure], rounds: &Rounds) {
        for Figure { name, max_ratio, value, unit } in figures {
            let figure = |program: usize| median(rounds[program].iter().map(value));
            let ratio_to = |program: usize| {
                median(
                    rounds[0]
                        .iter()
                        .zip(&rounds[program])
                        .map(|(worker, other)| value(worker) / value(other)),
                )
            };
            let (worker, minimal, ratio) = (figure(0), figure(1), ratio_to(1));
            let goal = max_ratio.map(|max_ratio| format!("{max_ratio:.2}")).unwrap_or_default();
            let row = format!(
                "| {workload} | {name} | {worker:.2} {unit} | {minimal:.2} {unit} | {ratio:.2} | {goal} |\n"
            );
            self.figures += &row;
            if rounds.len() > 2 {
                let (before, change) = (figure(2), ratio_to(2));
                self.change += &format!(
                    "| {workload} | {name} | {before:.2} {unit} | {worker:.2} {unit} | {change:.2} |\n"
                );
            }
        }
    }

    pub fn add_batch_size(&mut self, records: usize, rounds: &Rounds) {
        let values = [Figure::P50, Figure::CPU, Figure::MEMORY].map(|figure| figure.value);
        let of = |program: usize, value: fn(&Run) -> f64| median(rounds[program].iter().map(value));
        let [time, cpu, memory] = values.map(|value| [of(0, value), of(1, value)]);
        self.batch_sizes.push([records as f64, time[0], time[1], cpu[0], cpu[1], memory[0], memory[1]]);
    }

    pub fn add_concurrency(&mut self, concurrency: usize, rounds: &Rounds) {
        let time = median(rounds[0].iter().map(|run| millis(percentile(&run.batches, 50))));
        self.concurrency.push((concurrency as f64, 100.0 / time * 1e3));
    }

    /// Adds the cost of each part: the difference between the worker with and without it.
    pub fn add_parts(&mut self, programs: &[&Program], rounds: &Rounds) {
        let of = |name: &str, value: fn(&Run) -> f64| {
            let index = programs.iter().position(|program| program.name == name);
            index.map_or(f64::NAN, |index| median(rounds[index].iter().map(value)))
        };
        let cpu = |name| of(name, Figure::CPU.value);
        let all = cpu("reservation worker");
        let rows = [
            ("runtime and both calls: the minimal function", cpu("minimal function")),
            (
                "parsing, order, limits, checks, retries: the worker without telemetry minus the minimal function",
                cpu("without telemetry") - cpu("minimal function"),
            ),
            ("log", all - cpu("without the log")),
            ("metrics", all - cpu("without metrics")),
            ("traces", all - cpu("without traces")),
            ("total", all),
        ];
        for (part, cost) in rows {
            self.parts += &format!("| {part} | {cost:.1} µs | {:.0} % |\n", cost / all * 100.0);
        }
        self.parts += "\n| telemetry | CPU per event | time of a batch of 100, p50 |\n|---|--:|--:|\n";
        for (name, program) in [("on", "reservation worker"), ("off", "without telemetry")] {
            let (cpu, time) = (cpu(program), of(program, Figure::P50.value));
            self.parts += &format!("| {name} | {cpu:.1} µs | {time:.2} ms |\n");
        }
    }

    /// Writes the report to `docs/performance/` and prints it.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn write(&self) -> Result<(), Error> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
        fs::create_dir_all(&folder)?;
        let text = self.text()?;
        print(&text);
        if !self.change.is_empty() {
            print("| workload | figure | before | now | ratio |\n|---|---|--:|--:|--:|");
            print(&self.change);
        }
        fs::write(folder.join("README.md"), text)?;
        let line = |name, column: usize| Line {
            name,
            points: self.batch_sizes.iter().map(|row| (row[0], row[column])).collect(),
        };
        let [worker, minimal] = ["reservation worker", "minimal function"];
        let by_batch_size = |title, unit, column| plot::Plot {
            title,
            x: "records per batch",
            y: unit,
            lines: vec![line(worker, column), line(minimal, column + 1)],
        };
        by_batch_size("Time per batch", "ms", 1).draw(&folder.join("time.svg"))?;
        by_batch_size("CPU per event", "µs", 3).draw(&folder.join("cpu.svg"))?;
        by_batch_size("Peak memory", "MiB", 5).draw(&folder.join("memory.svg"))?;
        let throughput = vec![Line { name: worker, points: self.concurrency.clone() }];
        plot::Plot {
            title: "Throughput of one process",
            x: "WORKER_CONCURRENCY",
            y: "events per second",
            lines: throughput,
        }
        .draw(&folder.join("concurrency.svg"))
    }

    fn text(&self) -> Result<String, Error> {
        let mut text = format!(
            "# Performance\n\nThis file is generated by `make bench`. Do not edit it.\n\n{}\n\n\
             The worker is compared with a minimal function, which makes the same two calls per event and does nothing \
             else. The reservation API replies after 5 ms, the inventory after 2 ms. `WORKER_CONCURRENCY` is 100. All \
             telemetry of the worker is on: the log at level `info`, metrics to a local substitute for CloudWatch, and \
             sampled traces to a local substitute for the X-Ray daemon.\n\n\
             In each round both functions run one after the other. A figure is the median of all rounds. A ratio is the \
             median of the ratios of the rounds. The goal is the largest permitted ratio, or size. The time of a \
             batch is the time from the previous response to its own response. It includes the work that the function \
             does after the previous response, because Lambda bills that work too.\n\n\
             | workload | figure | reservation worker | minimal function | ratio | goal |\n|---|---|--:|--:|--:|--:|\n{}",
            self.machine, self.figures
        );
        text += "\n## Batch size\n\n![time](time.svg)\n![CPU](cpu.svg)\n![memory](memory.svg)\n\n\
             | records | time, p50 | minimal | CPU per event | minimal | peak memory | minimal |\n|--:|--:|--:|--:|--:|--:|--:|\n";
        for [records, time, minimal_time, cpu, minimal_cpu, memory, minimal_memory] in &self.batch_sizes {
            writeln!(
                text,
                "| {records} | {time:.2} ms | {minimal_time:.2} ms | {cpu:.1} µs | {minimal_cpu:.1} µs | {memory:.1} MiB | {minimal_memory:.1} MiB |"
            )?;
        }
        text += "\n## Throughput\n\nBatches of 100 records in one process.\n\n![throughput](concurrency.svg)\n\n\
             | `WORKER_CONCURRENCY` | events per second |\n|--:|--:|\n";
        for (concurrency, throughput) in &self.concurrency {
            writeln!(text, "| {concurrency} | {throughput:.0} |")?;
        }
        text += "\n## CPU by part\n\nPer event, in batches of 100 records. The cost of a part of the telemetry is the CPU \
             time that is saved if it is turned off. A value below zero is within the measurement error.\n\n| part | CPU | share |\n|---|--:|--:|\n";
        Ok(text + &self.parts)
    }
}

#[expect(clippy::print_stdout, reason = "prints the report")]
fn print(text: &str) {
    println!("{text}");
}

/// The CPU, the kernel and the compiler.
fn machine() -> Result<String, Error> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rustc = Command::new("rustc").arg("--version").output()?.stdout;
    Ok(format!(
        "{model}, {cores} cores, Linux {}, {}.",
        kernel.trim(),
        String::from_utf8_lossy(&rustc).trim()
    ))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
