//! What all pollers and processes of a mapping have in common: the counts, and what was printed.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Stats;
use crate::output::Output;
use crate::services::locked;

/// A long-running desk forgets its oldest lines.
const LINES: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) processes: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    pub(super) done: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) invocations: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) crashes: AtomicU64,
    /// Processes that have an invocation.
    working: Mutex<Vec<u32>>,
    log: Mutex<Log>,
    ages: Mutex<VecDeque<Duration>>,
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<Value>,
    /// By process.
    live: HashMap<u32, Output>,
}

impl Log {
    fn push(&mut self, lines: impl IntoIterator<Item = Value>) {
        self.lines.extend(lines);
        let surplus = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..surplus);
    }
}

impl Shared {
    pub(super) fn stats(&self) -> Stats {
        Stats {
            processes: self.processes.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            done: self.done.load(Relaxed),
            returned: self.returned.load(Relaxed),
            invocations: self.invocations.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            crashes: self.crashes.load(Relaxed),
        }
    }

    pub(super) fn process_started(&self, pid: u32, output: Output) {
        self.processes.fetch_add(1, Relaxed);
        locked(&self.log).live.insert(pid, output);
    }

    pub(super) fn process_ended(&self, pid: u32) {
        self.processes.fetch_sub(1, Relaxed);
        let mut log = locked(&self.log);
        if let Some(mut output) = log.live.remove(&pid) {
            log.push(output.take_json_lines());
        }
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        let mut log = locked(&self.log);
        let new: Vec<_> = log.live.values_mut().flat_map(Output::take_json_lines).collect();
        log.push(new);
        log.lines.iter().cloned().collect()
    }

    /// The mapping's own line in that log; no test takes it for the function's.
    pub(super) fn warn(&self, message: &str) {
        let line = json!({ "level": "WARN", "target": "event_source", "message": message });
        locked(&self.log).push([line]);
    }

    /// The process works until the guard is dropped.
    pub(super) fn works(&self, pid: u32) -> impl Drop + '_ {
        locked(&self.working).push(pid);
        Working { shared: self, pid }
    }

    pub(super) fn signal_one(&self, signal: Signal) -> bool {
        // Under the lock: a process that is in the list has not been reaped by anyone but its own poller.
        let working = locked(&self.working);
        let pid = fastrand::choice(working.iter()).and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Messages sent at these times are deleted now.
    pub(super) fn settled(&self, sent: impl Iterator<Item = u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut ages = locked(&self.ages);
        ages.extend(sent.map(|sent| now.saturating_sub(Duration::from_millis(sent))));
        let surplus = ages.len().saturating_sub(LINES);
        ages.drain(..surplus);
    }

    pub(super) fn ages(&self) -> Vec<Duration> {
        locked(&self.ages).iter().copied().collect()
    }
}

struct Working<'a> {
    shared: &'a Shared,
    pid: u32,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        locked(&self.shared.working).retain(|pid| *pid != self.pid);
    }
}
