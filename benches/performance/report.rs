//! The figures as Markdown, and what they are held against.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::contender::{Contender, Run, percentile};
use crate::plot::{self, Line};
use crate::{Error, Rounds};

/// A figure, the most that its ratio to the bare function's should be, if that was said, and how it is read and
/// shown.
#[derive(Clone, Copy)]
pub struct Goal {
    name: &'static str,
    most: Option<f64>,
    figure: fn(&Run) -> f64,
    unit: &'static str,
}

impl Goal {
    pub const OF_TEN: [Self; 5] = [Self::P50, Self::P99, Self::ANSWER, Self::CPU, Self::MEMORY];
    pub const OF_A_HUNDRED: [Self; 4] = [Self::P50, Self::P99, Self::ANSWER, Self::CPU];
    pub const OF_MANY: [Self; 1] = [Self::CPU];

    const INIT: Self = Self::new("init", Some(1.5), |run| millis(run.init), "ms");
    const FIRST: Self =
        Self::new("first invocation, one record", Some(1.0), |run| millis(percentile(&run.batches, 0)), "ms");
    const FIRST_CPU: Self = Self::new("CPU of the first invocation", None, |run| millis(run.cpu), "ms");
    const P50: Self = Self::new("time, p50", Some(1.03), |run| millis(percentile(&run.batches, 50)), "ms");
    const P99: Self = Self::new("time, p99", Some(1.10), |run| millis(percentile(&run.batches, 99)), "ms");
    const ANSWER: Self =
        Self::new("time to the answer, p50", None, |run| millis(percentile(&run.answers, 50)), "ms");
    const CPU: Self = Self::new("CPU an event", Some(1.5), |run| millis(run.cpu) * 1e3, "µs");
    const MEMORY: Self = Self::new("peak memory", Some(1.5), |run| run.peak_memory as f64 / 1024.0, "MiB");

    const fn new(name: &'static str, most: Option<f64>, figure: fn(&Run) -> f64, unit: &'static str) -> Self {
        Self { name, most, figure, unit }
    }
}

/// The zip should not be larger.
const LARGEST_ZIP: u64 = 4 * 1024 * 1024;

#[derive(Default)]
pub struct Report {
    goals: String,
    growth: Vec<[f64; 7]>,
    concurrency: Vec<(f64, f64)>,
    parts: String,
    machine: String,
}

impl Report {
    pub fn new(zip: u64) -> Result<Self, Error> {
        let mut report = Self { machine: machine()?, ..Self::default() };
        let size = zip as f64 / LARGEST_ZIP as f64 * 4.0;
        writeln!(report.goals, "| zip | | {size:.2} MiB | | | 4 MiB |")?;
        Ok(report)
    }

    pub fn cold_starts(&mut self, rounds: &Rounds) {
        self.goals("cold start", &[Goal::INIT, Goal::FIRST, Goal::FIRST_CPU], rounds);
    }

    pub fn goals(&mut self, work: &str, goals: &[Goal], rounds: &Rounds) {
        for Goal { name, most, figure, unit } in goals {
            let [ours, bare] = [0, 1].map(|contender| median(rounds[contender].iter().map(figure)));
            let ratio =
                median(rounds[0].iter().zip(&rounds[1]).map(|(ours, bare)| figure(ours) / figure(bare)));
            let most = most.map(|most| format!("{most:.2}")).unwrap_or_default();
            let row =
                format!("| {work} | {name} | {ours:.2} {unit} | {bare:.2} {unit} | {ratio:.2} | {most} |");
            self.goals += &row;
            self.goals.push('\n');
        }
    }

    pub fn growth(&mut self, records: usize, rounds: &Rounds) {
        let figures = [Goal::P50, Goal::CPU, Goal::MEMORY].map(|goal| goal.figure);
        let of = |contender: usize, figure: fn(&Run) -> f64| median(rounds[contender].iter().map(figure));
        let [time, cpu, memory] = figures.map(|figure| [of(0, figure), of(1, figure)]);
        self.growth.push([records as f64, time[0], time[1], cpu[0], cpu[1], memory[0], memory[1]]);
    }

    pub fn concurrency(&mut self, concurrency: usize, rounds: &Rounds) {
        let time = median(rounds[0].iter().map(|run| millis(percentile(&run.batches, 50))));
        self.concurrency.push((concurrency as f64, 100.0 / time * 1e3));
    }

    /// What each part of the way costs, by its absence; `contenders` begin with the worker and the bare function.
    pub fn parts(&mut self, contenders: &[&Contender], rounds: &Rounds) {
        let of = |name: &str, figure: fn(&Run) -> f64| {
            let place = contenders.iter().position(|contender| contender.name == name);
            place.map_or(f64::NAN, |place| median(rounds[place].iter().map(figure)))
        };
        let cpu = |name| of(name, Goal::CPU.figure);
        let all = cpu("reservation worker");
        let rows = [
            ("both calls and the runtime: the bare function", cpu("bare function")),
            (
                "reading, order, limits, checks, retries: the worker without telemetry, less that",
                cpu("without any") - cpu("bare function"),
            ),
            ("log", all - cpu("without the log")),
            ("metrics", all - cpu("without metrics")),
            ("traces", all - cpu("without traces")),
            ("all", all),
        ];
        for (part, cost) in rows {
            self.parts += &format!("| {part} | {cost:.1} µs | {:.0} % |\n", cost / all * 100.0);
        }
        self.parts += "\n| all telemetry | CPU an event | time of a batch of 100, p50 |\n|---|--:|--:|\n";
        for (name, contender) in [("on", "reservation worker"), ("off", "without any")] {
            let (cpu, time) = (cpu(contender), of(contender, Goal::P50.figure));
            self.parts += &format!("| {name} | {cpu:.1} µs | {time:.2} ms |\n");
        }
    }

    /// # Errors
    ///
    /// The files cannot be written.
    pub fn write(&self) -> Result<(), Error> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
        fs::create_dir_all(&folder)?;
        let text = self.text()?;
        print(&text);
        fs::write(folder.join("README.md"), text)?;
        let line = |name, column: usize| Line {
            name,
            points: self.growth.iter().map(|row| (row[0], row[column])).collect(),
        };
        let [ours, bare] = ["reservation worker", "bare function"];
        let growth = |title, unit, column| plot::Plot {
            title,
            x: "records a batch",
            y: unit,
            lines: vec![line(ours, column), line(bare, column + 1)],
        };
        growth("Time of a batch", "ms", 1).draw(&folder.join("time.svg"))?;
        growth("CPU an event", "µs", 3).draw(&folder.join("cpu.svg"))?;
        growth("Peak memory", "MiB", 5).draw(&folder.join("memory.svg"))?;
        let throughput = vec![Line { name: ours, points: self.concurrency.clone() }];
        plot::Plot {
            title: "Throughput of one function",
            x: "WORKER_CONCURRENCY",
            y: "events a second",
            lines: throughput,
        }
        .draw(&folder.join("concurrency.svg"))
    }

    fn text(&self) -> Result<String, Error> {
        let mut text = format!(
            "# Performance\n\nWritten by `make bench`; do not edit.\n\n{}\n\nThe reservation API answers after 5 ms, the \
             inventory after 2 ms. All telemetry is on: the log at `info`, metrics to a stand-in of CloudWatch, \
             sampled traces to a listener in place of the X-Ray daemon. `WORKER_CONCURRENCY=100`. Figures are medians \
             of rounds in which both functions run in turn; a ratio is the median of the rounds' own. A batch's time goes \
             from the last one's answer to its own: what follows a response is billed, and in the next one's.\n\n\
             | work | figure | reservation worker | bare function | ratio | goal |\n|---|---|--:|--:|--:|--:|\n{}",
            self.machine, self.goals
        );
        text += "\n## Growth with the batch\n\n![time](time.svg)\n![CPU](cpu.svg)\n![memory](memory.svg)\n\n\
             | records | time, p50 | bare | CPU an event | bare | peak memory | bare |\n|--:|--:|--:|--:|--:|--:|--:|\n";
        for [records, time, bare_time, cpu, bare_cpu, memory, bare_memory] in &self.growth {
            writeln!(
                text,
                "| {records} | {time:.2} ms | {bare_time:.2} ms | {cpu:.1} µs | {bare_cpu:.1} µs | {memory:.1} MiB | {bare_memory:.1} MiB |"
            )?;
        }
        text += "\n## Throughput\n\nBatches of 100, one function.\n\n![throughput](concurrency.svg)\n\n\
             | `WORKER_CONCURRENCY` | events a second |\n|--:|--:|\n";
        for (concurrency, throughput) in &self.concurrency {
            writeln!(text, "| {concurrency} | {throughput:.0} |")?;
        }
        text += "\n## Where the CPU goes\n\nAn event of a batch of 100. What a part costs is what is saved without it.\n\n\
             | part | CPU | of all |\n|---|--:|--:|\n";
        Ok(text + &self.parts)
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(text: &str) {
    println!("{text}");
}

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
