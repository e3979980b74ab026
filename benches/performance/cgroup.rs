//! Limits the CPU of a process with a cgroup, as Lambda does.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// The length of a period in microseconds. Within each period, the processes of a cgroup may use their quota. Lambda's
/// period is 20 ms, too.
const PERIOD_US: f64 = 20_000.0;
const NAME: &str = "reservation-worker-benchmark";
/// The folder of the controller `cpu` in version 1 of cgroups.
const VERSION_1: &str = "/sys/fs/cgroup/cpu";
const VERSION_2: &str = "/sys/fs/cgroup";

/// A cgroup whose processes together may use some share of a core. It is removed on drop.
pub struct CpuLimit {
    folder: PathBuf,
}

impl CpuLimit {
    /// Creates a cgroup whose processes may use this number of cores.
    ///
    /// # Errors
    ///
    /// The reason why this user or this machine cannot limit the CPU.
    pub fn new(cores: f64) -> Result<Self, String> {
        let quota = (cores * PERIOD_US).round();
        if Path::new(VERSION_1).join("cgroup.procs").exists() {
            let limit = Self::create(VERSION_1)?;
            write(&limit.folder.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
            write(&limit.folder.join("cpu.cfs_quota_us"), &quota.to_string())?;
            Ok(limit)
        } else {
            let limit = Self::create(VERSION_2)?;
            write(&limit.folder.join("cpu.max"), &format!("{quota} {PERIOD_US}"))?;
            Ok(limit)
        }
    }

    /// Moves a process with all its threads into the cgroup.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn add(&self, pid: u32) -> Result<(), String> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    fn create(parent: &str) -> Result<Self, String> {
        let folder = Path::new(parent).join(NAME);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { folder })
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        // A process that was killed is still in the cgroup for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Writes to a file that exists, as all files of a cgroup do if its controller is enabled.
fn write(file: &Path, text: &str) -> Result<(), String> {
    let result = fs::OpenOptions::new().write(true).open(file);
    let result = result.and_then(|mut opened| std::io::Write::write_all(&mut opened, text.as_bytes()));
    result.map_err(|error| format!("{}: {error}", file.display()))
}
