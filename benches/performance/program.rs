//! Runs a function as a process with a workload, and measures it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reservation_worker_local::Services;
use reservation_worker_local::runtime_api::Function;

use crate::Error;
use crate::cgroup::CpuLimit;
use crate::workload::{DEADLINE_RESERVE, Workload};

/// The name of a program in the report.
pub type Name = &'static str;

/// The runs of each program, in the order of the rounds.
pub type Rounds = BTreeMap<Name, Vec<Run>>;

/// A function that is measured.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: Name,
    pub binary: PathBuf,
    /// The variables in which it differs from the others.
    pub variables: Vec<(&'static str, &'static str)>,
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
    pub events_per_second: f64,
}

impl Program {
    /// Starts a process, passes it the events, and measures it.
    ///
    /// # Errors
    ///
    /// The function does not run, or one of its responses is wrong.
    pub async fn run(
        &self,
        workload: &Workload,
        services: &Services,
        xray_daemon: &str,
    ) -> Result<Run, Error> {
        let batches = workload.batches(services)?;
        let limit = workload.cores.map(CpuLimit::new).transpose()?;
        let mut function =
            Function::start(&self.binary, self.environment(workload, services, xray_daemon)).await?;
        let init = function.ready().await?;
        if let Some(limit) = &limit {
            limit.add(function.pid())?;
        }
        let (mut times, mut responses) = (Vec::new(), Vec::new());
        let mut cpu = CpuTime::of(function.pid())?;
        for (number, batch) in batches.into_iter().enumerate() {
            if number == workload.warm_up_batches {
                function.idle().await?;
                cpu = CpuTime::of(function.pid())?;
            }
            let start = Instant::now();
            let answer = function.invoke_raw(batch.payload, workload.kind.time_limit()).await?;
            if number >= workload.warm_up_batches {
                times.push(start.elapsed());
                responses.push(answer.took);
            }
            if answer.response != Ok(batch.response) {
                return Err(format!("wrong response: {:?}", answer.response).into());
            }
        }
        // The measurement includes the work after the last response.
        function.idle().await?;
        let events = u32::try_from(workload.batches * workload.records)?;
        let cpu = CpuTime::of(function.pid())?.since(&cpu)? / events;
        let peak_memory = peak_memory(function.pid())?;
        check_calls(workload, services)?;
        let events_per_second = f64::from(events) / times.iter().sum::<Duration>().as_secs_f64();
        times.sort_unstable();
        responses.sort_unstable();
        Ok(Run { init, batches: times, responses, cpu, peak_memory, events_per_second })
    }

    /// The variables of the function. The time-outs are long, so that a machine that stalls for a moment causes no
    /// time-out.
    fn environment(
        &self,
        workload: &Workload,
        services: &Services,
        xray_daemon: &str,
    ) -> Vec<(String, String)> {
        let concurrency = workload.concurrency.to_string();
        let reserve = DEADLINE_RESERVE.as_millis().to_string();
        let own = [
            ("INVENTORY_TIMEOUT_MS", "10000"),
            ("RESERVATION_API_TIMEOUT_MS", "10000"),
            ("DEADLINE_RESERVE_MS", &reserve),
            ("AWS_XRAY_DAEMON_ADDRESS", xray_daemon),
            ("WORKER_CONCURRENCY", &concurrency),
        ];
        let own =
            own.iter().chain(&self.variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        services.environment().into_iter().chain(own).collect()
    }
}

/// Removes the calls that the services have received, and checks their number.
fn check_calls(workload: &Workload, services: &Services) -> Result<(), Error> {
    let events = (workload.warm_up_batches + workload.batches) * workload.records;
    let (calls, expected) = (services.take_calls().len(), workload.kind.calls_per_event());
    match expected.map(|per_event| per_event * events) {
        Some(expected) if calls != expected => Err(format!("{calls} calls and not {expected}").into()),
        _ => Ok(()),
    }
}

/// A percentile of sorted times.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// The CPU time of each thread of a process in nanoseconds. The kernel has no file with their sum.
struct CpuTime(BTreeMap<OsString, u64>);

impl CpuTime {
    fn of(pid: u32) -> Result<Self, Error> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            let schedstat = fs::read_to_string(task.path().join("schedstat"))?;
            let nanoseconds = schedstat.split(' ').next().unwrap_or_default().parse()?;
            threads.insert(task.file_name(), nanoseconds);
        }
        Ok(Self(threads))
    }

    /// # Errors
    ///
    /// A thread has ended, so its time is not known. Neither Tokio nor Go ends a thread that was idle for less than
    /// 10 s, so no thread begins and ends between two readings.
    fn since(&self, earlier: &Self) -> Result<Duration, Error> {
        if earlier.0.keys().any(|thread| !self.0.contains_key(thread)) {
            return Err("a thread ended during the measurement".into());
        }
        Ok(Duration::from_nanos(self.0.values().sum::<u64>() - earlier.0.values().sum::<u64>()))
    }
}

/// The maximum resident memory of a process in KiB.
fn peak_memory(pid: u32) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}
