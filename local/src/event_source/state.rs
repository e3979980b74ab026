//! What all pollers and processes of a mapping share: the counts, the log, and the processes that have an
//! invocation.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::lock::locked;
use crate::output::Output;

/// The oldest log lines and ages are removed above this number, so that a mapping can run for a long time.
const MAX_HISTORY: usize = 200_000;

/// The current numbers of processes and messages, and the totals since the start of the mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// The current number of function processes, with or without an invocation.
    pub processes: usize,
    /// The current number of messages that are received and not yet deleted or returned.
    pub in_flight: usize,
    /// The number of messages that were deleted.
    pub done: u64,
    /// The number of receives that did not end with the deletion of the message.
    pub returned: u64,
    /// The number of invocations, failed ones included.
    pub invocations: u64,
    /// The number of invocations that reached the time-out of the function.
    pub timeouts: u64,
    /// The number of invocations whose process ended before the response.
    pub crashes: u64,
}

#[derive(Debug, Default)]
pub(super) struct MappingState {
    pub(super) processes: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    pub(super) done: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) invocations: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) crashes: AtomicU64,
    /// The ids of the processes that have an invocation.
    invoked: Mutex<Vec<u32>>,
    log: Mutex<Log>,
    ages: Mutex<VecDeque<Duration>>,
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<Value>,
    /// The output of each running process, by process id.
    outputs: HashMap<u32, Output>,
}

impl Log {
    fn push(&mut self, lines: impl IntoIterator<Item = Value>) {
        self.lines.extend(lines);
        let surplus = self.lines.len().saturating_sub(MAX_HISTORY);
        self.lines.drain(..surplus);
    }
}

impl MappingState {
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
        locked(&self.log).outputs.insert(pid, output);
    }

    pub(super) fn process_ended(&self, pid: u32) {
        self.processes.fetch_sub(1, Relaxed);
        let mut log = locked(&self.log);
        if let Some(mut output) = log.outputs.remove(&pid) {
            log.push(output.take_json_lines());
        }
    }

    pub(super) fn log_lines(&self) -> Vec<Value> {
        let mut log = locked(&self.log);
        let new: Vec<_> = log.outputs.values_mut().flat_map(Output::take_json_lines).collect();
        log.push(new);
        log.lines.iter().cloned().collect()
    }

    /// Adds a line of the mapping itself to the log. Its `target` differs from all targets of the function.
    pub(super) fn warn(&self, message: &str) {
        let line = json!({ "level": "WARN", "target": "event_source", "message": message });
        locked(&self.log).push([line]);
    }

    /// Marks the process as invoked until the guard is dropped.
    pub(super) fn mark_invoked(&self, pid: u32) -> impl Drop + '_ {
        locked(&self.invoked).push(pid);
        InvokedGuard { state: self, pid }
    }

    pub(super) fn signal_one(&self, signal: Signal) -> bool {
        // The lock is held until the signal is sent, so that the process is not removed from the list in the
        // meantime.
        let invoked = locked(&self.invoked);
        let pid = fastrand::choice(invoked.iter()).and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Records the ages of messages that were deleted now. `sent` contains the times at which the messages
    /// were sent, in milliseconds since 1970.
    pub(super) fn record_ages(&self, sent: impl Iterator<Item = u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut ages = locked(&self.ages);
        ages.extend(sent.map(|sent| now.saturating_sub(Duration::from_millis(sent))));
        let surplus = ages.len().saturating_sub(MAX_HISTORY);
        ages.drain(..surplus);
    }

    pub(super) fn ages(&self) -> Vec<Duration> {
        locked(&self.ages).iter().copied().collect()
    }
}

struct InvokedGuard<'a> {
    state: &'a MappingState,
    pid: u32,
}

impl Drop for InvokedGuard<'_> {
    fn drop(&mut self) {
        locked(&self.state.invoked).retain(|pid| *pid != self.pid);
    }
}
