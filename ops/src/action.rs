//! The actions of a plan.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Send it to the worker's queue, and delete it
    Redrive,
    /// Write it to the backup, and delete it
    Delete,
    /// Write it to the backup, and leave it in the queue
    Backup,
}

impl Action {
    /// The name in the audit file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Delete => "delete",
            Self::Backup => "backup",
        }
    }
}
