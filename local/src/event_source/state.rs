//! What all pollers and processes of a mapping share: the counts, the log, and the processes that have an
//! invocation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_smithy_types::date_time::{DateTime, Format};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::event::ReceivedMessage;
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
    /// The processes that have an invocation.
    invoked: Mutex<Vec<Invoked>>,
    /// The ids of the processes that are suspended.
    frozen: Mutex<HashSet<u32>>,
    log: Mutex<Log>,
    ages: Mutex<VecDeque<Duration>>,
}

/// A JSON line that a process or the mapping itself has printed.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// The process id. `None`: the mapping itself.
    pub process: Option<u32>,
    /// The line, a JSON object.
    pub json: Value,
}

/// A running function process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningProcess {
    /// The process id.
    pub pid: u32,
    /// The number of records of its current invocation, and the time since its start. `None`: no invocation.
    pub invocation: Option<(usize, Duration)>,
    /// Whether it is suspended.
    pub frozen: bool,
}

#[derive(Debug)]
struct Invoked {
    pid: u32,
    records: usize,
    since: Instant,
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<LogLine>,
    /// The output of each running process, by process id.
    outputs: HashMap<u32, Output>,
}

impl Log {
    fn push(&mut self, process: Option<u32>, lines: impl IntoIterator<Item = Value>) {
        self.lines.extend(lines.into_iter().map(|json| LogLine { process, json }));
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
            log.push(Some(pid), output.take_json_lines());
        }
        locked(&self.frozen).remove(&pid);
    }

    pub(super) fn running(&self) -> Vec<RunningProcess> {
        let mut pids: Vec<_> = locked(&self.log).outputs.keys().copied().collect();
        pids.sort_unstable();
        let (invoked, frozen) = (locked(&self.invoked), locked(&self.frozen));
        let process = |pid| {
            let invocation = invoked.iter().find(|invoked| invoked.pid == pid);
            let invocation = invocation.map(|invoked| (invoked.records, invoked.since.elapsed()));
            RunningProcess { pid, invocation, frozen: frozen.contains(&pid) }
        };
        pids.into_iter().map(process).collect()
    }

    pub(super) fn log_lines(&self) -> Vec<Value> {
        self.updated_log().lines.iter().map(|line| line.json.clone()).collect()
    }

    pub(super) fn take_log_lines(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.updated_log().lines).into()
    }

    /// The log with the lines that the processes have printed up to now.
    fn updated_log(&self) -> MutexGuard<'_, Log> {
        let mut log = locked(&self.log);
        let outputs = log.outputs.iter_mut();
        let new: Vec<_> = outputs.map(|(pid, output)| (*pid, output.take_json_lines())).collect();
        for (pid, lines) in new {
            log.push(Some(pid), lines);
        }
        log
    }

    /// Adds a line of the mapping itself to the log. Its `target` differs from all targets of the function.
    pub(super) fn warn(&self, message: &str) {
        locked(&self.log).push(None, [warning(message)]);
    }

    /// Adds a line for each message of an invocation to which the function gave no response.
    pub(super) fn warn_of_interruption(
        &self,
        message: &str,
        process: Option<u32>,
        duration: Duration,
        batch: &[ReceivedMessage],
    ) {
        let lines = batch.iter().map(|received| {
            let mut line = warning(message);
            line["process"] = json!(process);
            line["duration_ms"] = json!(duration.as_secs_f64() * 1_000.0);
            line["message_id"] = json!(received.message_id);
            line["attempt"] = json!(received.receive_count());
            line["reservation_id"] = json!(received.reservation_id());
            line
        });
        locked(&self.log).push(None, lines);
    }

    /// Marks the process as invoked with this number of records until the guard is dropped.
    pub(super) fn mark_invoked(&self, pid: u32, records: usize) -> impl Drop + '_ {
        locked(&self.invoked).push(Invoked { pid, records, since: Instant::now() });
        InvokedGuard { state: self, pid }
    }

    pub(super) fn signal_one(&self, signal: Signal) -> bool {
        // The lock is held until the signal is sent, so that the process is not removed from the list in the
        // meantime.
        let invoked = locked(&self.invoked);
        fastrand::choice(invoked.iter()).is_some_and(|invoked| self.send(signal, invoked.pid))
    }

    pub(super) fn signal(&self, pid: u32, signal: Signal) -> bool {
        let log = locked(&self.log);
        log.outputs.contains_key(&pid) && self.send(signal, pid)
    }

    /// Sends a signal to a running process. Returns whether this was possible.
    fn send(&self, signal: Signal, pid: u32) -> bool {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let sent = process.is_some_and(|process| kill_process(process, signal).is_ok());
        if sent && signal == Signal::STOP {
            locked(&self.frozen).insert(pid);
        } else if sent {
            locked(&self.frozen).remove(&pid);
        }
        sent
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

fn warning(message: &str) -> Value {
    let timestamp = DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_default();
    json!({ "timestamp": timestamp, "level": "WARN", "target": "event_source", "message": message })
}

struct InvokedGuard<'a> {
    state: &'a MappingState,
    pid: u32,
}

impl Drop for InvokedGuard<'_> {
    fn drop(&mut self) {
        locked(&self.state.invoked).retain(|invoked| invoked.pid != self.pid);
    }
}
