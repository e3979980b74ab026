//! The audit file: it says who did what with which letter, and with which result. It is also the journal from which an
//! interrupted command continues.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::files::{self, JsonLines};
use crate::time;

mod journal;

pub(crate) use journal::Journal;

/// A step of an action. A line is on the disk before the next step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// The letter is about to be sent, or to be written to the backup.
    Started,
    /// It was sent to the worker's queue and is not deleted yet.
    Sent,
    /// It is in the backup and is not deleted yet.
    BackedUp,
    /// It is in the backup and is about to be deleted.
    Deleting,
    /// The action is complete.
    Done,
    /// The action failed. The letter is still where it was: in the queue, or in the backup from which `restore` reads.
    Failed,
    /// The body is not the one of the plan, so nothing was done.
    Changed,
    /// The letter is not in the queue any more. As far as is known, no action in this file has deleted it.
    Gone,
    /// A redriven letter is dead again, under its new message id.
    CameBack,
    /// The command stopped, because too many redriven letters were dead again.
    Stopped,
}

/// What all lines of a command have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Common {
    /// The ARN of the caller, or the name that `--caller` gives if STS does not return the ARN.
    pub(crate) caller: String,
    /// The SHA-256 digest of the plan file; `None` for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan_sha256: Option<String>,
    /// The queue that contains the letters; `None` for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_url: Option<String>,
    /// The queue to which letters are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_to: Option<String>,
}

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) common: Common,
    /// `redrive`, `delete`, `backup` or `restore`.
    pub(crate) action: String,
    pub(crate) step: Step,
    pub(crate) message_id: String,
    pub(crate) body_sha256: String,
    /// The id of the sent message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Audit {
    file: JsonLines,
    path: PathBuf,
    common: Common,
}

/// The letter that a line is about, and what is done with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) action: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) body_sha256: &'a str,
}

/// The file that is used if the arguments name none: beside the input of the command.
pub(crate) fn default_path(input: &Path) -> PathBuf {
    let mut name = input.as_os_str().to_owned();
    name.push(".audit.jsonl");
    PathBuf::from(name)
}

/// The state of the letters of the plan with this digest, or of those that `restore` has sent, according to the lines of
/// an audit file.
pub(crate) fn journal(path: &Path, plan_sha256: Option<&str>) -> Result<Journal> {
    let lines = files::read_lines::<Line>(path)?.complete.into_iter();
    Ok(lines.filter(|line| line.common.plan_sha256.as_deref() == plan_sha256).collect())
}

impl Audit {
    /// Opens the file, for the actions of a plan, or for those of `restore`.
    pub(crate) fn open(path: PathBuf, common: Common) -> Result<Self> {
        Ok(Self { file: JsonLines::open(&path)?, path, common })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the letters of this plan, or of those that `restore` has sent, according to the lines of the file.
    pub(crate) fn journal(&self) -> Result<Journal> {
        journal(&self.path, self.common.plan_sha256.as_deref())
    }

    /// Adds lines, and waits until they are on the disk. Each one consists of its subject, the step, the new message id
    /// and a detail.
    pub(crate) fn write<'a>(
        &mut self,
        lines: impl IntoIterator<Item = (Subject<'a>, Step, Option<String>, Option<String>)>,
    ) -> Result<()> {
        let time = time::rfc3339(SystemTime::now());
        let lines = lines.into_iter().map(|(subject, step, new_message_id, detail)| Line {
            time: time.clone(),
            common: self.common.clone(),
            action: subject.action.to_owned(),
            step,
            message_id: subject.message_id.to_owned(),
            body_sha256: subject.body_sha256.to_owned(),
            new_message_id,
            detail,
        });
        self.file.append(lines)
    }
}
