//! The command `plan`: writes a file that says what is to be done with which letter.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::cli::PlanArgs;
use crate::files;
use crate::letter::Letter;
use crate::prediction::Verdict;
use crate::progress::note;
use crate::refund;
use crate::selection;
use crate::session::Session;
use crate::time;

/// The version of the file format. The tool does not apply a plan with another version.
const VERSION: u32 = 1;

/// The content of a plan file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    version: u32,
    pub(crate) created: String,
    /// The queue that contains the letters.
    pub(crate) queue_url: String,
    pub(crate) letters: Vec<PlannedLetter>,
}

/// A letter in a plan, with what a person needs to know to approve the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedLetter {
    pub(crate) message_id: String,
    /// The SHA-256 digest of the body. Nothing is done with a letter whose body has another digest.
    pub(crate) body_sha256: String,
    pub(crate) action: Action,
    /// Its message group in a FIFO queue.
    pub(crate) message_group_id: String,
    pub(crate) event_type: String,
    pub(crate) reservation_id: Option<String>,
    pub(crate) reason_code: String,
    pub(crate) what_if: Option<Verdict>,
}

impl PlannedLetter {
    fn new(letter: &Letter, action: Action) -> Self {
        Self {
            message_id: letter.message_id.clone(),
            body_sha256: letter.sha256.clone(),
            action,
            message_group_id: letter.message_group().to_owned(),
            event_type: letter.event_type().to_owned(),
            reservation_id: letter.reservation_id().map(str::to_owned),
            reason_code: letter.reason_code().to_owned(),
            what_if: letter.what_if.clone(),
        }
    }

    /// The reason code that `--allow-reason` must name before this letter is redriven; `None` if no permission is needed.
    pub(crate) fn needs_permission(&self) -> Option<&str> {
        self.refund().filter(|_| self.action == Action::Redrive)
    }

    /// The reason code; if a prediction says that a refund is due, the reason code of the prediction.
    pub(crate) fn reason_or_refund(&self) -> &str {
        self.refund().unwrap_or(&self.reason_code)
    }

    /// The reason code, if a refund may be due.
    fn refund(&self) -> Option<&str> {
        refund::reason(&self.event_type, &self.reason_code, self.what_if.as_ref())
    }
}

impl Plan {
    /// Reads a plan file. Returns its digest, too.
    pub(crate) fn read(path: &Path) -> Result<(Self, String)> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let plan: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is not a plan", path.display()))?;
        if plan.version != VERSION {
            bail!("{} has the version {}; this tool has the version {VERSION}", path.display(), plan.version);
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = plan.letters.iter().find(|letter| !ids.insert(&letter.message_id)) {
            bail!("{} contains the letter {} twice", path.display(), twice.message_id);
        }
        Ok((plan, files::sha256(&text)))
    }
}

pub(crate) async fn run(session: &Session, args: &PlanArgs) -> Result<ExitCode> {
    files::check_new(&args.out)?;
    let queue_url = session.queue().await?.url;
    let letters = selection::letters(session, &args.selection).await?;
    let letters: Vec<_> = letters.iter().map(|letter| PlannedLetter::new(letter, args.action)).collect();
    let reasons: BTreeSet<_> = letters.iter().filter_map(PlannedLetter::refund).collect();
    for reason in reasons {
        let advice = match args.action {
            Action::Redrive => format!("`apply` redrives them only with --allow-reason {reason}."),
            Action::Delete => "Delete them only after the refund.".to_owned(),
            Action::Backup => continue,
        };
        note(format_args!("note: a refund may be due for letters with the reason {reason}. {advice}"));
    }
    let count = letters.len();
    let plan = Plan { version: VERSION, created: time::rfc3339(SystemTime::now()), queue_url, letters };
    let mut file = files::create(&args.out)?;
    file.write_all(&serde_json::to_vec_pretty(&plan)?)?;
    file.sync_all()?;
    let (path, command) = (args.out.display(), session.source.command());
    let backup = if args.action == Action::Redrive { "" } else { " --backup FILE" };
    note(format_args!(
        "{path} contains {count} letters. `{command} apply {path}{backup}` does what it says."
    ));
    Ok(ExitCode::SUCCESS)
}
