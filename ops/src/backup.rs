//! The file format of `apply --backup` and `export`: one letter per line, as a JSON object.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files::{self, Lines};
use crate::message::StoredMessage;
use crate::progress::note;
use crate::reason_code::UNKNOWN;
use crate::refund;
use crate::session::Source;
use crate::time;

/// A letter in a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BackedUp {
    /// When the line was written, in RFC 3339.
    saved: String,
    /// The queue that it was in.
    #[serde(default)]
    pub(crate) source: Source,
    pub(crate) body_sha256: String,
    /// Why it was dead.
    #[serde(default = "unknown")]
    pub(crate) reason_code: String,
    #[serde(flatten)]
    pub(crate) message: StoredMessage,
}

impl BackedUp {
    pub(crate) fn new(message: StoredMessage, source: Source, reason_code: &str) -> Self {
        let (saved, body_sha256) = (time::rfc3339(SystemTime::now()), message.digest());
        Self { saved, source, body_sha256, reason_code: reason_code.to_owned(), message }
    }
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

/// Reads the letters of a backup, each once: an interrupted command, or two commands, may have written a letter twice.
/// Of two lines about a letter, the later one is used, unless only the earlier one says that a refund is due.
pub(crate) fn read(path: &Path) -> Result<Vec<BackedUp>> {
    let exists = path.try_exists().with_context(|| path.display().to_string())?;
    if !exists {
        bail!("{} does not exist", path.display());
    }
    let Lines { complete, incomplete } = files::read_lines::<BackedUp>(path)?;
    if complete.is_empty() {
        bail!("{} contains no letter", path.display());
    }
    if incomplete > 0 {
        note(format_args!(
            "note: lines of {} that are not letters: {incomplete}. All other lines are used.",
            path.display()
        ));
    }
    let (mut places, mut letters) = (HashMap::<String, usize>::new(), Vec::<BackedUp>::new());
    for letter in complete {
        let message = &letter.message;
        if message.digest() != letter.body_sha256 {
            bail!("{}: the body of {} does not have its digest", path.display(), message.message_id);
        }
        match places.get(&message.message_id).and_then(|place| letters.get_mut(*place)) {
            Some(earlier) if !refund::is_due(&earlier.reason_code) || refund::is_due(&letter.reason_code) => {
                *earlier = letter;
            }
            Some(_) => {}
            None => {
                places.insert(message.message_id.clone(), letters.len());
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}
