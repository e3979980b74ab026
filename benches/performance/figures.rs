//! The figures of a run, their goals, and tables that compare two programs.

use std::fmt::Write as _;
use std::time::Duration;

use crate::program::{Name, Rounds, Run, percentile};
use crate::programs::{MINIMAL, Programs, WORKER, WORKER_WITH_PGO};
use crate::statistics::{Estimate, median};

/// The goals: the largest ratios of figures of the worker to those of the minimal function, for the worker built with
/// PGO, and for a plain build.
const GOALS: [(&str, Figure, f64, Option<f64>); 11] = [
    ("cold start", Figure::INIT, 1.30, None),
    ("cold start", Figure::FIRST, 1.00, None),
    ("batch of 10", Figure::P50, 1.02, None),
    ("batch of 10", Figure::P99, 1.05, None),
    ("batch of 10", Figure::CPU, 1.10, Some(1.25)),
    ("batch of 10", Figure::MEMORY, 1.40, None),
    ("batch of 100", Figure::P50, 1.05, None),
    ("batch of 100", Figure::P99, 1.05, None),
    ("batch of 100", Figure::CPU, 1.20, Some(1.30)),
    ("batch of 10,000", Figure::CPU, 1.10, Some(1.20)),
    ("5 % sampled", Figure::CPU, 1.00, None),
];

/// A figure of a run.
#[derive(Clone, Copy)]
pub struct Figure {
    name: &'static str,
    value: fn(&Run) -> f64,
    unit: &'static str,
}

impl Figure {
    pub const INIT: Self = Self { name: "init", value: |run| millis(run.init), unit: "ms" };
    pub const FIRST: Self = Self {
        name: "first invocation, one record",
        value: |run| millis(percentile(&run.batches, 0)),
        unit: "ms",
    };
    pub const FIRST_CPU: Self =
        Self { name: "CPU of the first invocation", value: |run| millis(run.cpu), unit: "ms" };
    pub const P50: Self =
        Self { name: "time, p50", value: |run| millis(percentile(&run.batches, 50)), unit: "ms" };
    pub const P99: Self =
        Self { name: "time, p99", value: |run| millis(percentile(&run.batches, 99)), unit: "ms" };
    pub const RESPONSE: Self = Self {
        name: "time to the response, p50",
        value: |run| millis(percentile(&run.responses, 50)),
        unit: "ms",
    };
    pub const CPU: Self = Self { name: "CPU per event", value: |run| millis(run.cpu) * 1e3, unit: "µs" };
    pub const MEMORY: Self =
        Self { name: "peak memory", value: |run| run.peak_memory as f64 / 1024.0, unit: "MiB" };
    pub const THROUGHPUT: Self =
        Self { name: "events per second", value: |run| run.events_per_second, unit: "" };

    /// The median of this figure over some runs.
    pub fn median(&self, runs: &[Run]) -> f64 {
        median(runs.iter().map(self.value))
    }

    fn goal(&self, workload: &str, program: Name, other: Name) -> Option<f64> {
        // PGO must not make any workload slower.
        if (program, other) == (WORKER_WITH_PGO, WORKER) {
            return Some(1.0);
        }
        let (.., with_pgo, plain) =
            GOALS.into_iter().find(|(of, figure, ..)| workload.ends_with(of) && figure.name == self.name)?;
        match (program, other) {
            (WORKER_WITH_PGO, MINIMAL) => Some(with_pgo),
            (WORKER, MINIMAL) => plain,
            _ => None,
        }
    }
}

/// A workload that was measured.
pub struct Measured {
    pub workload: &'static str,
    pub figures: &'static [Figure],
    pub rounds: Rounds,
}

/// A table that compares the figures of two programs, or the reason why there is none.
pub fn table(measured: &[Measured], programs: &Programs, program: Name, other: Name) -> String {
    if let Some(reason) = [program, other].into_iter().find_map(|name| programs.binary(name).err()) {
        return format!("NOT MEASURED: {reason}.\n");
    }
    let mut table = format!(
        "| workload | figure | {program} | {other} | ratio | goal | result |\n|---|---|--:|--:|--:|--:|---|\n"
    );
    for Measured { workload, figures, rounds } in measured {
        let (runs, others) = (&rounds[program], &rounds[other]);
        for figure in *figures {
            let Figure { name, value, unit } = figure;
            let ratio = Estimate::new(runs.iter().zip(others).map(|(run, other)| value(run) / value(other)));
            let (goal, result) = match figure.goal(workload, program, other) {
                Some(goal) => (format!("{goal:.2}"), ratio.compare(goal)),
                None => (String::new(), ""),
            };
            let [median, other] = [runs, others].map(|runs| figure.median(runs));
            // Writing to a string does not fail.
            _ = writeln!(
                table,
                "| {workload} | {name} | {median:.2} {unit} | {other:.2} {unit} | {ratio} | {goal} | {result} |"
            );
        }
    }
    table
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
