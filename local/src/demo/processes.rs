//! Processes that end with the demo, and everything with them that they have started.

use std::fs;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::{Child, Command};

/// A process and its descendants, all killed when this is dropped.
pub(super) struct Family(Child);

impl Family {
    /// Starts it in a process group of its own, so that Ctrl-C reaches the demo alone, which then ends
    /// its families in order.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Family(command.process_group(0).stdin(Stdio::null()).spawn()?))
    }

    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let Some(first) = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) else {
            return; // It has ended, and was waited for.
        };
        // Whoever is not there any more needs no signal.
        for member in descendants(first) {
            _ = kill_process(member, Signal::KILL);
        }
        _ = kill_process_group(first, Signal::KILL);
        _ = waitpid(Some(first), WaitOptions::empty());
    }
}

/// All that `ancestor` has started, and what those have started; `cargo lambda watch` starts the function
/// in a session of its own, where no process group reaches it. Where there is no /proc, the function
/// ends by itself: the Runtime API that it polls is gone.
fn descendants(ancestor: Pid) -> Vec<Pid> {
    let all = processes();
    let mut family = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| id));
        next += 1;
    }
    family.split_off(1)
}

/// Every process and its parent.
fn processes() -> Vec<(Pid, Pid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // `id (name) state parent …`, and the name may hold anything.
            let (_, after_name) = stat.rsplit_once(')')?;
            let parent = after_name.split_whitespace().nth(1)?.parse().ok()?;
            Some((Pid::from_raw(id)?, Pid::from_raw(parent)?))
        })
        .collect()
}
