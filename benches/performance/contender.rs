//! One process, one kind of work, and what it took.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reservation_worker_local::runtime_api::Function;
use serde_json::{Value, json};

use crate::Error;

/// A function under measurement.
#[derive(Debug, Clone)]
pub struct Contender {
    pub name: &'static str,
    pub binary: PathBuf,
    pub environment: Vec<(String, String)>,
}

/// What a process is given to do.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// A batch.
    pub records: usize,
    pub batches: usize,
    /// Processes, one after the other.
    pub rounds: usize,
    /// Batches before those that count: the connections are made, the caches warm.
    pub warm: usize,
    pub concurrency: usize,
}

impl Work {
    pub const WARM: Self = Self { records: 10, batches: 0, rounds: 1, warm: 3, concurrency: 100 };
}

/// What one process took.
#[derive(Debug, Clone)]
pub struct Run {
    /// From the start of the process to its first `/next`.
    pub init: Duration,
    /// Each batch from the last one's answer to its own, in order of time: what the function does after a
    /// response is in the next one's.
    pub batches: Vec<Duration>,
    /// The same from its event's handing over.
    pub answers: Vec<Duration>,
    /// Of all threads, for each event.
    pub cpu: Duration,
    /// The most memory that was resident, in KiB.
    pub peak_memory: u64,
}

impl Contender {
    pub async fn run(&self, work: &Work, events: Vec<Value>) -> Result<Run, Error> {
        let concurrency = ("WORKER_CONCURRENCY".to_owned(), work.concurrency.to_string());
        let mut function =
            Function::start(&self.binary, [self.environment.clone(), vec![concurrency]].concat()).await?;
        let init = function.ready().await?;
        let (mut batches, mut answers) = (Vec::new(), Vec::new());
        let mut cpu = cpu_time(function.pid())?;
        for (number, event) in events.into_iter().enumerate() {
            if number == work.warm {
                cpu = cpu_time(function.pid())?;
            }
            let event = event.to_string();
            let start = Instant::now();
            let answer = function.invoke_raw(event, Duration::from_secs(60)).await?;
            if number >= work.warm {
                batches.push(start.elapsed());
                answers.push(answer.took);
            }
            if answer.response != Ok(json!({ "batchItemFailures": [] })) {
                let lines = function.log_lines();
                let why = lines.iter().find(|line| line["outcome"] == "retried");
                return Err(format!("{}, {} records a batch: {why:?}", self.name, work.records).into());
            }
        }
        // What comes after the last response belongs to it.
        function.idle().await?;
        let cpu = (cpu_time(function.pid())? - cpu) / u32::try_from(work.batches * work.records)?;
        let peak_memory = peak_memory(function.pid())?;
        batches.sort_unstable();
        answers.sort_unstable();
        Ok(Run { init, batches, answers, cpu, peak_memory })
    }
}

/// The time that so many of a hundred do not exceed, of times in order.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn cpu_time(pid: u32) -> Result<Duration, Error> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn peak_memory(pid: u32) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}
