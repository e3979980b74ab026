//! A process that ends with the demo, together with all processes that it has started.

use std::fs;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::{Child, Command};

/// A process and its descendants. Dropping this value kills all of them.
pub(super) struct ProcessTree(Child);

impl ProcessTree {
    /// Starts the process in its own process group. Ctrl-C then reaches only the demo, which ends the
    /// processes in order.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        Ok(ProcessTree(command.process_group(0).stdin(Stdio::null()).spawn()?))
    }

    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        let Some(root) = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) else {
            return; // The process has ended, and `wait` has returned its status.
        };
        // A signal to a process that has ended fails, and this failure does not matter.
        for descendant in descendants(root) {
            _ = kill_process(descendant, Signal::KILL);
        }
        _ = kill_process_group(root, Signal::KILL);
        _ = waitpid(Some(root), WaitOptions::empty());
    }
}

/// All direct and indirect child processes of `root`. A signal to the process group is not enough, because
/// `cargo lambda watch` starts the function in a new session. On a system without `/proc`, the function ends
/// because its Runtime API no longer exists.
fn descendants(root: Pid) -> Vec<Pid> {
    let all = processes();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(current) = tree.get(next).copied() {
        tree.extend(all.iter().filter(|(_, parent)| *parent == current).map(|(id, _)| id));
        next += 1;
    }
    tree.split_off(1)
}

/// The process id and the parent process id of every process.
fn processes() -> Vec<(Pid, Pid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The format is `id (name) state parent …`. The name can contain spaces and parentheses.
            let (_, after_name) = stat.rsplit_once(')')?;
            let parent = after_name.split_whitespace().nth(1)?.parse().ok()?;
            Some((Pid::from_raw(id)?, Pid::from_raw(parent)?))
        })
        .collect()
}
