//! The command `plan`: writes a file that says what is to be done with which letter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::audit::{self, Journal};
use crate::cli::PlanArgs;
use crate::files;
use crate::letter::{Letter, counted};
use crate::prediction::{Prediction, Verdict};
use crate::progress::note;
use crate::refund;
use crate::selection;
use crate::session::Session;
use crate::time;

/// The version of the file format. The tool does not apply a plan with another version.
const VERSION: u32 = 1;
/// The file for the plan if `--out` names none. A finished plan in it is replaced.
const DEFAULT_OUT: &str = "plan.json";
/// The new content of the default file. Only one command at a time can create this file, so that two of them do not
/// replace the same plan.
const NEW_CONTENT: &str = "plan.json.new";

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

    /// The reason code that `--allow-reason` must name before this letter is redriven; `None` if no permission is
    /// needed.
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

    /// Whether nothing is left to do.
    pub(crate) fn is_finished(&self, journal: &Journal) -> bool {
        self.letters.iter().all(|letter| journal.is_finished(&letter.message_id))
    }

    /// Writes the plan to a new file.
    fn write(&self, path: &Path) -> Result<()> {
        let mut file = files::create(path)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        Ok(file.sync_all()?)
    }

    /// Writes the plan to the default file. A finished plan in it is replaced.
    fn write_to_default(&self) -> Result<()> {
        let (path, new) = (Path::new(DEFAULT_OUT), Path::new(NEW_CONTENT));
        self.write(new)?;
        let is_replaced = path.exists();
        if let Err(error) = check_default(&self.queue_url).and_then(|()| Ok(fs::rename(new, path)?)) {
            fs::remove_file(new)?;
            return Err(error);
        }
        if is_replaced {
            note(format_args!(
                "note: nothing is left to do in the earlier {DEFAULT_OUT}, so this plan replaces it."
            ));
        }
        Ok(())
    }
}

pub(crate) async fn run(session: &Session, args: &PlanArgs) -> Result<ExitCode> {
    files::check_new(args.out.as_deref().unwrap_or(Path::new(NEW_CONTENT)))?;
    let queue_url = session.queue().await?.url;
    if args.out.is_none() {
        check_default(&queue_url)?;
    }
    let letters = selection::letters(session, &args.selection).await?;
    let letters: Vec<_> = letters.iter().map(|letter| PlannedLetter::new(letter, args.action)).collect();
    let reasons: BTreeSet<_> = letters.iter().filter_map(PlannedLetter::refund).collect();
    let path = args.out.as_deref().unwrap_or(Path::new(DEFAULT_OUT)).display();
    let (command, count) = (session.source.command(), counted(letters.len()));
    let backup = match args.action {
        Action::Redrive => "",
        Action::Delete => " --backup deleted.jsonl",
        Action::Backup => " --backup backup.jsonl",
    };
    let refund_may_be_due = !reasons.is_empty();
    let predictions = predictions(&letters);
    let would_fail = predictions.contains_key(&Prediction::WouldFail);
    for reason in reasons {
        let advice = match args.action {
            Action::Redrive => format!("`apply` refuses this plan without --allow-reason {reason}."),
            Action::Delete => "Delete them only after the refund.".to_owned(),
            Action::Backup => continue,
        };
        note(format_args!("note: a refund may be due for letters with the reason {reason}. {advice}"));
    }
    let plan = Plan { version: VERSION, created: time::rfc3339(SystemTime::now()), queue_url, letters };
    match &args.out {
        Some(path) => plan.write(path)?,
        None => plan.write_to_default()?,
    }
    if !predictions.is_empty() {
        let counts = predictions.iter().map(|(prediction, count)| format!("{} {count}", prediction.as_str()));
        note(format_args!("Predictions: {}.", counts.collect::<Vec<_>>().join(", ")));
    }
    if (refund_may_be_due || would_fail) && args.action == Action::Redrive {
        note(format_args!(
            "To redrive only letters that would succeed, remove {path} and run `plan` with `--what-if --prediction would-succeed`."
        ));
    }
    note(format_args!(
        "{path} contains {count}. To do what the plan says: `{command} apply {path}{backup}`."
    ));
    Ok(ExitCode::SUCCESS)
}

/// The number of letters with each prediction. It is empty without `--what-if`.
fn predictions(letters: &[PlannedLetter]) -> BTreeMap<Prediction, usize> {
    let mut counts = BTreeMap::new();
    for verdict in letters.iter().filter_map(|letter| letter.what_if.as_ref()) {
        *counts.entry(verdict.prediction).or_default() += 1;
    }
    counts
}

/// Checks that the default file does not exist, or is a plan in which nothing is left to do, according to the audit file
/// that `apply` uses by default. A plan for another queue than this one cannot be applied now.
fn check_default(queue_url: &str) -> Result<()> {
    let path = Path::new(DEFAULT_OUT);
    let audit_path = audit::default_path(path);
    let existing = Plan::read(path);
    let is_finished = existing.as_ref().is_ok_and(|(plan, digest)| {
        audit::journal(&audit_path, Some(digest)).is_ok_and(|journal| plan.is_finished(&journal))
    });
    if path.exists() && !is_finished {
        if let Ok((plan, _)) = existing
            && plan.queue_url != queue_url
        {
            bail!(
                "{DEFAULT_OUT} exists already, and is a plan for another queue, {}; remove it, or name another file with \
                 --out",
                plan.queue_url,
            );
        }
        bail!(
            "{DEFAULT_OUT} exists already, and {} does not say that it is a finished plan; apply it, remove it, or name \
             another file with --out",
            audit_path.display(),
        );
    }
    Ok(())
}
