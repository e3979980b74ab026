//! Runs a function as a process with a workload, and measures it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reservation_worker_local::runtime_api::Function;
use serde_json::{Value, json};

use crate::Error;

/// A function that is measured.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: &'static str,
    pub binary: PathBuf,
    pub environment: Vec<(String, String)>,
}

/// The work of each measured process, and the number of these processes.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The number of records per batch.
    pub records: usize,
    /// The number of batches that are measured.
    pub batches: usize,
    /// The number of processes that are measured, one after the other.
    pub rounds: usize,
    /// The number of batches before the measurement, which open connections and fill caches.
    pub warm_up_batches: usize,
    /// `WORKER_CONCURRENCY`.
    pub concurrency: usize,
}

impl Workload {
    /// Values for the fields that a workload does not set.
    pub const BASE: Self = Self { records: 10, batches: 0, rounds: 1, warm_up_batches: 3, concurrency: 100 };
}

/// The measurements of one process.
#[derive(Debug, Clone)]
pub struct Run {
    /// The time from the start of the process to its first `/next`.
    pub init: Duration,
    /// The time of each batch from the previous response to its own response, sorted. It includes the work
    /// that the function did after the previous response.
    pub batches: Vec<Duration>,
    /// The time of each batch from the delivery of its event to its response, sorted.
    pub responses: Vec<Duration>,
    /// The CPU time of all threads per event.
    pub cpu: Duration,
    /// The maximum resident memory in KiB.
    pub peak_memory: u64,
}

impl Program {
    /// Starts a process, passes it the events, and measures it.
    pub async fn run(&self, workload: &Workload, events: Vec<Value>) -> Result<Run, Error> {
        let concurrency = ("WORKER_CONCURRENCY".to_owned(), workload.concurrency.to_string());
        let mut function =
            Function::start(&self.binary, [self.environment.clone(), vec![concurrency]].concat()).await?;
        let init = function.ready().await?;
        let (mut batches, mut responses) = (Vec::new(), Vec::new());
        let mut cpu = cpu_time(function.pid())?;
        for (number, event) in events.into_iter().enumerate() {
            if number == workload.warm_up_batches {
                cpu = cpu_time(function.pid())?;
            }
            let event = event.to_string();
            let start = Instant::now();
            let result = function.invoke_raw(event, Duration::from_secs(60)).await?;
            if number >= workload.warm_up_batches {
                batches.push(start.elapsed());
                responses.push(result.took);
            }
            if result.response != Ok(json!({ "batchItemFailures": [] })) {
                let lines = function.log_lines();
                let retried = lines.iter().find(|line| line["outcome"] == "retried");
                let (name, records) = (self.name, workload.records);
                return Err(format!("{name}, {records} records per batch: {retried:?}").into());
            }
        }
        // The measurement includes the work after the last response.
        function.idle().await?;
        let cpu = (cpu_time(function.pid())? - cpu) / u32::try_from(workload.batches * workload.records)?;
        let peak_memory = peak_memory(function.pid())?;
        batches.sort_unstable();
        responses.sort_unstable();
        Ok(Run { init, batches, responses, cpu, peak_memory })
    }
}

/// A percentile of sorted times.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// The CPU time of all threads of a process.
fn cpu_time(pid: u32) -> Result<Duration, Error> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The maximum resident memory of a process in KiB.
fn peak_memory(pid: u32) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}
