//! The audit file: a line for every action, who did it and with which result. It is also the journal from which an
//! interrupted command continues.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::files::{self, JsonLines};
use crate::time;

/// A step of an action. A line is on the disk before the next step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// The letter is about to be sent, deleted or exported.
    Started,
    /// It was sent to the worker's queue and is not deleted yet.
    Sent,
    /// It is in the backup and is not deleted yet.
    BackedUp,
    /// The action is complete.
    Done,
    /// The action failed. The letter is still in the queue.
    Failed,
    /// The body is not the one of the plan, so nothing was done.
    Changed,
    /// The letter is not in the queue any more, and not by an action of this file.
    Gone,
    /// A redriven letter is dead again, under its new message id.
    CameBack,
    /// The command stopped, because too many redriven letters were dead again.
    Stopped,
}

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) time: String,
    /// The ARN of the caller.
    pub(crate) caller: String,
    /// `redrive`, `delete`, `export` or `restore`.
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

/// What the file says about a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) step: Step,
    pub(crate) new_message_id: Option<String>,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Audit {
    file: JsonLines,
    path: PathBuf,
    caller: String,
}

/// What a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) action: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) body_sha256: &'a str,
}

impl Audit {
    /// Opens the file, which by default is beside the input of the command.
    pub(crate) fn open(given: Option<&Path>, input: &Path, caller: String) -> Result<Self> {
        let beside = || {
            let mut name = input.as_os_str().to_owned();
            name.push(".audit.jsonl");
            PathBuf::from(name)
        };
        let path = given.map_or_else(beside, Path::to_owned);
        Ok(Self { file: JsonLines::open(&path)?, path, caller })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about each letter: its last step that is not about a later life of the letter.
    pub(crate) fn journal(&self) -> Result<HashMap<String, Progress>> {
        let mut journal = HashMap::<String, Progress>::new();
        for line in files::read_lines::<Line>(&self.path)?.complete {
            if matches!(line.step, Step::CameBack | Step::Stopped) {
                continue;
            }
            let earlier = journal.remove(&line.message_id);
            let new_message_id =
                line.new_message_id.or(earlier.as_ref().and_then(|p| p.new_message_id.clone()));
            // Another process may work with the same file, so a completed action is not undone by its lines.
            let step = match earlier.map(|earlier| earlier.step) {
                Some(Step::Done) => Step::Done,
                Some(sent @ (Step::Sent | Step::BackedUp)) if line.step != Step::Done => sent,
                _ => line.step,
            };
            journal.insert(line.message_id, Progress { step, new_message_id });
        }
        Ok(journal)
    }

    /// Adds lines, and waits until they are on the disk. Each has a subject, a step, the new message id and a detail.
    pub(crate) fn write<'a>(
        &mut self,
        lines: impl IntoIterator<Item = (Subject<'a>, Step, Option<String>, Option<String>)>,
    ) -> Result<()> {
        let (time, caller) = (time::rfc3339(SystemTime::now()), self.caller.clone());
        let lines = lines.into_iter().map(|(subject, step, new_message_id, detail)| Line {
            time: time.clone(),
            caller: caller.clone(),
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
